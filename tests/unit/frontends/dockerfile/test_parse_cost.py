"""What reading a Dockerfile costs: the time of a long one, and what is imported for it."""

import subprocess
import sys
import time
from pathlib import Path

from frontends.dockerfile.parser import parse

ROOT = Path(__file__).parents[4]
STAGE = """\
# stage{0} does a part of the work
FROM alpine:3.{0} AS stage{0}
ARG VERSION{0}=1 OTHER
ENV PATH=/opt/{0}/bin:$PATH NAME="x y" C=e
RUN --mount=type=cache,target=/root/.cache apk add --no-cache \\
    curl \\
    git
COPY --from=build --chown=1:1 /a /b /c/
WORKDIR /app
"""


def test_a_long_file_is_read_in_a_moment() -> None:
    text = "".join(STAGE.format(number) for number in range(60))
    assert text.count("\n") == 540
    took = []
    for _ in range(7):
        begin = time.process_time()
        parse(text, "Dockerfile")
        took.append(time.process_time() - begin)
    # The limit leaves room for a busy machine.
    assert min(took) < 0.05


def test_nothing_is_imported_but_the_standard_library() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "import frontends.dockerfile.parser, frontends.dockerfile.mounts, frontends.dockerfile.printer;"
        "print([name for name in ('pydantic', 'lark', 'importlib.metadata', 'asyncio', 'json') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-S", "-E", "-c", code, str(ROOT)], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
