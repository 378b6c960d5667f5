from __future__ import annotations

import json
import subprocess
import sys

HEAVY = {"urllib3", "ssl", "http", "pydantic", "subprocess", "asyncio", "concurrent", "email", "tomllib", "rich"}


def test_a_cached_build_pays_for_nothing() -> None:
    code = (
        "import sys, json; import buildkit_py.registry.source, buildkit_py.registry.pull, buildkit_py.registry.config;"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert not HEAVY & set(json.loads(done.stdout))
