import sys

import humanize


def main() -> None:
    print(f"it took {humanize.precisedelta(float(sys.argv[1]))}")
