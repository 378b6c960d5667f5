"""What a policy costs those whom it demands no signature of."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from pathlib import Path
from buildkit_py.digest import Digest
from buildkit_py.trust.gate import Candidate, Gate
gate = Gate(None, lambda: None, given=Path(sys.argv[1]))
gate.admit(Candidate(name="docker.io/library/a:1", digest=Digest.of(b"")))
heavy = ("cryptography", "nacl", "yaml", "pydantic", "pydantic_core", "http", "ssl", "subprocess")
print(sorted(set(heavy) & set(sys.modules)))
"""


def test_a_policy_that_demands_nothing_imports_nothing(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(file)], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
