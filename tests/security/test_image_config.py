"""What an image's configuration says is text, or a number in its range; nothing obeys it, no terminal either."""

from __future__ import annotations

import json
import shutil
import sys
import tarfile
from pathlib import Path

import pytest

from buildkit_py.errors import GraphError, SourceInputError
from buildkit_py.graph import values
from buildkit_py.layer.context import ContextTree
from buildkit_py.layer.owner import resolve_owner, resolve_user
from buildkit_py.layer.statcache import StatCache
from tests.support import bases, layouts
from tests.support.command import Pybuild
from tests.support.faulty_registry import faulty_registry, on
from tests.support.layouts import Entry
from tests.support.tars import tar_of
from tests.support.terminal import Terminal

OVERFLOWS = ("4294967296", "4294967295", "-1", "0:4294967296", "0:-1", "18446744073709551616", "\uff10")
PASSWD = b"root:x:0:0::/:/bin/sh\napp:x:4294967296:0::/:/bin/sh\n"
GROUP = b"root:x:0:\napp:x:4294967296:\n"


def layout(place: Path, config: dict[str, object], *entries: Entry) -> None:
    """An image with a shell, this configuration and these files."""
    tiny = layouts.layers_of(bases.layout("tiny"))
    layouts.write_layout(place, [*tiny, layouts.layer(entries)], {"Env": ["PATH=/bin"], **config})


@pytest.mark.parametrize("user", [*OVERFLOWS, "app", "0:app", "-1:0"])
def test_a_user_that_overflows(tmp_path: Path, user: str) -> None:
    """CVE-2024-40635: a number, or a name that /etc/passwd or /etc/group has such a number for; never root instead."""
    (tmp_path / "etc").mkdir()
    for name, rows in (("passwd", PASSWD), ("group", GROUP)):
        (tmp_path / "etc" / name).write_bytes(rows)
    tree = ContextTree(tmp_path, StatCache(tmp_path / "stat"))
    with pytest.raises(SourceInputError):
        resolve_user(tree, user)
    with pytest.raises(SourceInputError):
        resolve_owner(tree, user)
    if user.isascii() and not user.endswith("app"):
        with pytest.raises(GraphError):
            values.user(user)


@pytest.mark.parametrize("user", ["4294967296", "0:-1", "app"])
def test_a_user_that_overflows_runs_nothing(pybuild: Pybuild, tmp_path: Path, user: str) -> None:
    """CVE-2024-40635: of a base, by a build, a shell and a service."""
    accounts = (Entry(name="etc/passwd", data=PASSWD), Entry(name="etc/group", data=GROUP))
    layout(tmp_path / "base", {"User": user, "Cmd": ["/bin/id"]}, *accounts)
    (tmp_path / "Buildfile").write_text('buildfile 1\nimage a {\nfrom "oci:base"\nrun id\n}\n')
    pybuild.ok("copy", "oci:base", "base", cwd=tmp_path)
    for words in (
        ("build", ".", "-t", "x"),
        ("shell", "base", "id"),
        ("install", "--root", "services", "--unit-dir", "units", "--name", f"s3-{tmp_path.name}", "base"),
    ):
        result = pybuild(*words, cwd=tmp_path)
        assert result.code not in (0, 5, 70), (words, result.output)
        assert "uid=" not in result.output
        assert "error: " in result.stderr
    assert "x " not in pybuild.ok("ls").stdout


def test_the_last_user_there_is(pybuild: Pybuild, tmp_path: Path) -> None:
    """2^32 - 2 is one, by a runtime that has room for it."""
    layout(tmp_path / "base", {"User": "4294967294:4294967294"})
    (tmp_path / "Buildfile").write_text('buildfile 1\nimage a {\nfrom "oci:base"\nrun id\n}\n')
    result = pybuild("build", ".", "--runtime", "crun", "--progress", "plain", cwd=tmp_path)
    assert result.code == 0, result.output
    assert "uid=4294967294 gid=4294967294" in result.output


EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\x1bP+q\x1b\\\r\u202e\u2066\x08\x7fend"
"""A title, a cleared screen, colours in eight bits, a question to the terminal, overwriting, text right to left."""
HARMFUL = frozenset("\x1b\x07\x9b\r\x08\x7f\u202e\u2066")


def evil_image(place: Path) -> None:
    """An image that says it wherever an image can say something."""
    said = {
        "User": "",
        "Env": ["PATH=/bin", f"E={EVIL}"],
        "Labels": {"l": EVIL, f"k{EVIL}": "v", "org.opencontainers.image.title": EVIL},
        "WorkingDir": f"/w{EVIL}".replace("\x00", ""),
        "Cmd": ["/bin/true", EVIL],
        "Entrypoint": None,
        "ExposedPorts": {f"80/tcp{EVIL}": {}},
        "Volumes": {f"/v{EVIL}": {}},
        "StopSignal": EVIL,
    }
    name = "f" + EVIL.replace("/", "")
    layout(
        place,
        said,
        Entry(name=name, data=b"x", mode=0o4755),
        Entry(name="usr/lib/os-release", data=f"ID={EVIL}\n".encode()),
    )
    index = json.loads((place / "index.json").read_bytes())
    manifest = json.loads(layouts.blob(place, index["manifests"][0]["digest"]).read_bytes())
    config = json.loads(layouts.blob(place, manifest["config"]["digest"]).read_bytes())
    line = {"created": EVIL, "created_by": EVIL, "comment": EVIL, "author": EVIL}
    config |= {"history": [line] * len(manifest["layers"]), "author": EVIL, "created": "2020-01-01T00:00:00Z"}
    manifest["config"] |= layouts.put_document(place, config)
    manifest["annotations"] = {"org.opencontainers.image.title": EVIL, EVIL: EVIL}
    index["manifests"][0] |= layouts.put_document(place, manifest)
    (place / "index.json").write_text(json.dumps(index))


SHOWN = (
    ("inspect", "evil"),
    ("inspect", "oci:layout"),
    ("history", "evil"),
    ("history", "--no-trunc", "evil"),
    ("history", "--no-trunc", "oci:layout"),
    ("diff", "evil", "plain"),
    ("diff", "plain", "evil"),
    ("scan", "--fail-on", "never", "evil"),
    ("ls",),
    ("df",),
    ("build", "-f", "Buildfile", "--progress", "plain", "-t", "x", "."),
    ("build", "-f", "run.Dockerfile", "--build-context", "base=oci-layout://layout", "-t", "y", "."),
    ("build", "-f", "wrong.Dockerfile", "--build-context", "base=oci-layout://layout", "."),
    ("install", "--root", "services", "--unit-dir", "units", "--name", "evil", "evil"),
    ("inspect", "oci:several"),
    ("inspect", "oci:several:x"),
    ("load", "-i", "named.tar"),
    ("import", "wrong.tar", "z"),
)
ON_TERMINALS = (
    ("inspect", "--json", "evil"),
    ("inspect", "--raw", "evil"),
    ("inspect", "--config", "evil"),
    ("inspect", "--format", "{{.Config.Labels.l}} {{json .Config.Labels}}", "evil"),
    ("history", "--json", "evil"),
    ("diff", "--json", "plain", "evil"),
    ("scan", "--fail-on", "never", "--json", "evil"),
)


@pytest.fixture
def evil(pybuild: Pybuild, tmp_path: Path) -> Path:
    """A directory with the image, in the store too, and beside a plain one."""
    return prepared(pybuild, tmp_path)


def prepared(pybuild: Pybuild, tmp_path: Path) -> Path:
    """The same, for the proof of the test."""
    evil_image(tmp_path / "layout")
    layout(tmp_path / "plain", {})
    pybuild.ok("copy", "oci:plain", "plain", cwd=tmp_path)
    assert pybuild("copy", "oci:layout", "evil", cwd=tmp_path).code == 0
    (tmp_path / "Buildfile").write_text('buildfile 1\nimage a {\nfrom "oci:layout"\ncopy ./plain to /d\n}\n')
    (tmp_path / "run.Dockerfile").write_text("FROM base\nUSER 0\nWORKDIR /\nRUN env; ls /\n")
    (tmp_path / "wrong.Dockerfile").write_text("FROM base\nUSER 0\nWORKDIR /\nCOPY --from=base /fx /f\n")
    index = json.loads((tmp_path / "layout/index.json").read_bytes())
    row = index["manifests"][0]
    rows = [row | {"annotations": {"org.opencontainers.image.ref.name": f"{each}{EVIL}"}} for each in "ab"]
    shutil.copytree(tmp_path / "layout", tmp_path / "several")
    (tmp_path / "several/index.json").write_text(json.dumps(index | {"manifests": rows}))
    (tmp_path / "wrong.tar").write_bytes(tar_of((f"h{EVIL}", tarfile.LNKTYPE, f"missing{EVIL}")))
    with tarfile.open(tmp_path / "named.tar", "w") as archive:
        for each in ("oci-layout", "index.json", "blobs"):
            archive.add(tmp_path / "several" / each, each)
    return tmp_path


def test_what_an_image_says_of_itself_is_inert_text(pybuild: Pybuild, evil: Path) -> None:
    """Labels, history, titles, names, variables, paths: in every output for people, errors and hints too."""
    inert(pybuild, evil)


def inert(pybuild: Pybuild, evil: Path) -> None:
    """The test, for its proof."""
    told = 0
    for words in SHOWN:
        result = pybuild(*words, cwd=evil)
        assert result.code != 70, result.output
        assert not HARMFUL & set(result.stdout + result.stderr), (words, result.stdout, result.stderr)
        told += "end" in result.stdout + result.stderr
    assert told > 5


def test_a_terminal_obeys_nothing_that_is_printed_for_programs(pybuild: Pybuild, evil: Path) -> None:
    """JSON may hold what a terminal obeys, and `--format` and `--raw` print what there is: not to a terminal."""
    for words in ON_TERMINALS:
        assert "end" in pybuild.ok(*words, cwd=evil).stdout
        command = [sys.executable, "-m", "buildkit_py.cli", *words]
        with Terminal(command, pybuild.variables(), columns=1000) as terminal:
            terminal.end()
            seen = terminal.seen.replace("\r\n", "\n")
        assert "end" in seen
        assert not HARMFUL & set(seen), (words, seen)


def test_what_a_registry_says_is_inert_text(pybuild: Pybuild, tmp_path: Path) -> None:
    """Errors, tags, warnings, challenges, addresses: whatever it says on its own account."""
    with faulty_registry() as server:
        (tmp_path / "r.toml").write_text(f'[registry."{server.name}"]\nplain_http = true\n')
        speaking = pybuild.having(PYBUILD_REGISTRIES=str(tmp_path / "r.toml"))
        image = f"{server.name}/a/b:1"
        said = EVIL.replace("\r", "")
        error = json.dumps({"errors": [{"code": said, "message": said, "detail": said}]}).encode()
        answers = {
            "error": lambda handler: handler.reply(403, error),
            "text": lambda handler: handler.reply(418, said.encode()),
            "challenge": lambda handler: handler.reply(
                401, error, WWW_Authenticate=f'Bearer realm="http://{_latin(said)}"'
            ),
            "address": lambda handler: handler.reply(307, Location=f"http://{_latin(said)}/"),
            "type": lambda handler: handler.reply(200, b"{}", Content_Type=_latin(said)),
            "tags": lambda handler: handler.reply(200, json.dumps({"tags": ["fine", said]}).encode()),
            "body": lambda handler: handler.reply(200, json.dumps({"mediaType": said}).encode()),
        }
        for answer in answers.values():
            server.faults[:] = [on("GET", "/v2/", answer), on("HEAD", "/v2/", answer)]
            for words in (("pull", image), ("tags", f"{server.name}/a/b")):
                result = speaking(*words)
                assert result.code != 70, result.output
                assert not HARMFUL & set(result.stdout + result.stderr), (words, result.output)


def _latin(text: str) -> str:
    """What a header can hold of it."""
    return text.encode("latin-1", "ignore").decode("latin-1")
