"""What compiling a Dockerfile costs: the work of a long one, and what is imported for it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from frontends.dockerfile.parser import parse
from tests.support.dockerfiles import compiled

ROOT = Path(__file__).parents[4]
STAGE = """\
# stage{0} does a part of the work
FROM base AS stage{0}
ARG VERSION{0}=1 OTHER
ENV PATH=/opt/{0}/bin:$PATH NAME="x y" C=e
RUN --mount=type=cache,target=/root/.cache apk add --no-cache \\
    curl \\
    git
COPY --from={1} --chown=1:1 /a /b /c/
WORKDIR /app
"""


def _calls(work: Callable[[], object]) -> int:
    """How many Python functions a piece of work calls: what it costs, on any machine and however busy that is."""
    count = 0

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def _file(stages: int) -> str:
    return "".join(STAGE.format(number, f"stage{number - 1}" if number else "base") for number in range(stages))


def test_a_long_file_is_compiled_in_a_moment() -> None:
    text = _file(60)
    assert text.count("\n") == 540
    assert len(compiled(text).vertices) > 180  # every stage is reachable
    # Some 100,000 calls are 40 ms.
    assert _calls(lambda: parse(text, "Dockerfile")) < 55_000
    assert _calls(lambda: compiled(text)) < 130_000


def test_what_a_file_costs_grows_with_its_length() -> None:
    short, long = _file(40), _file(80)
    compiled(short)
    assert _calls(lambda: compiled(long)) < 2.2 * _calls(lambda: compiled(short))


def test_nothing_is_imported_but_the_standard_library() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "import frontends.dockerfile.parser, frontends.dockerfile.mounts, frontends.dockerfile.printer;"
        "print([name for name in ('pydantic', 'lark', 'importlib.metadata', 'asyncio', 'json') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-S", "-E", "-c", code, str(ROOT)], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
