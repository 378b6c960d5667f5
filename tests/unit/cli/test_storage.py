import json
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.store import Store


@pytest.fixture
def root(tmp_path: Path) -> str:
    """A store with one image of one layer."""
    root = tmp_path / "store"
    with Store.open(root) as store:
        manifest = image(store)
        store.images.put("web:dev", manifest)
    return str(root)


def blob(store: Store, value: object, kind: str) -> dict[str, Any]:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    media = f"application/vnd.oci.image.{kind}"
    return {"mediaType": media, "digest": store.blobs.put(data), "size": len(data)}


def image(store: Store) -> dict[str, Any]:
    layer = blob(store, b"\0" * 1024, "layer.v1.tar")
    config = blob(
        store,
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {
                "Env": ["PATH=/bin", "A=\u001b[31m"],
                "Entrypoint": ["/app", "serve"],
                "Labels": {"a": "b"},
                "User": "app",
            },
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
            "history": [{"created_by": "pybuild: layer files"}],
        },
        "config.v1+json",
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [layer],
    }
    return blob(store, manifest, "manifest.v1+json")


def test_ls(cli: Any, root: str) -> None:
    assert cli("ls", "--store", root) == 0
    head, row = cli.out.splitlines()
    assert head.split() == ["NAME", "PLATFORMS", "DIGEST", "SIZE", "NAMED"]
    assert row.split()[:2] == ["web:dev", "linux/amd64"]
    assert cli("ls", "--store", root, "x*") == 0
    assert cli.out == "no images\n"
    assert cli("ls", "--store", root, "web") == 0
    assert "web:dev" in cli.out
    assert cli("ls", "--store", root, "--json", "web*") == 0
    (found,) = json.loads(cli.out)
    assert (found["name"], found["platforms"]) == ("web:dev", ["linux/amd64"])
    assert cli("ls", "--store", root, "-q") == 0
    assert cli.out == f"{found['digest']}\n"


def test_ls_shows_a_damaged_image_and_the_others(cli: Any, root: str) -> None:
    with Store.open(Path(root)) as store:
        damaged = blob(store, b"gone", "manifest.v1+json")
        store.images.put("bad", damaged)
        store.blobs.path(damaged["digest"]).unlink()
    assert cli("ls", "--store", root) == 0
    assert "bad" in cli.out
    assert "damaged" in cli.out
    assert "web:dev  linux/amd64" in cli.out


def test_inspect(cli: Any, root: str) -> None:
    assert cli("inspect", "web:dev", "--store", root) == 0
    lines = cli.out.splitlines()
    assert "linux/amd64" in lines
    assert "  layers (1, " in cli.out
    assert any(line.split()[0] == "files" for line in lines if line.startswith("    "))
    assert '["/app", "serve"]' in cli.out
    assert "\x1b" not in cli.out
    assert cli("inspect", "web:dev", "--store", root, "--json", "--platform", "amd64") == 0
    document = json.loads(cli.out)
    assert document["images"][0]["config"]["User"] == "app"


def test_inspect_what_is_not_there(cli: Any, root: str) -> None:
    assert cli("inspect", "wbe", "--store", root) == 16
    assert cli("inspect", "web:dev", "--store", root, "--platform", "arm64") == 16
    assert "it has linux/amd64" in cli.err
    assert cli("inspect", "web", "--store", root) == 16
    assert "did you mean 'web:dev'?" in cli.err


def test_df_and_prune(cli: Any, root: str) -> None:
    with Store.open(Path(root)) as store:
        store.blobs.put(b"x" * 5000)
    assert cli("df", "--store", root) == 0
    assert cli.out.splitlines()[0].startswith("WHAT")
    assert cli("df", "--store", root, "--json") == 0
    before = json.loads(cli.out)
    assert before["reclaimable"] >= 5000
    assert cli("prune", "--all", "--dry-run", "-v", "--store", root) == 0
    assert "would remove" in cli.out
    assert "kept" in cli.out
    assert cli("df", "--store", root, "--json") == 0
    assert json.loads(cli.out) == before
    assert cli("prune", "--all", "--json", "--store", root) == 0
    assert json.loads(cli.out)["bytes"] >= 5000
    assert cli("prune", "--all", "--store", root) == 0
    assert cli.out.startswith("removed 0 objects, 0 B; kept ")
    assert cli("ls", "--store", root) == 0
    assert "web:dev  linux/amd64" in cli.out


def test_store_check_and_path(cli: Any, root: str) -> None:
    assert cli("store", "path", "--store", root) == 0
    assert cli.out == f"{root}\n"
    assert cli("store", "check", "--store", root) == 0
    assert cli.out == "the store is whole\n"
    with Store.open(Path(root)) as store:
        path = store.blobs.path(store.blobs.put(b"flip"))
    path.chmod(0o644)
    path.write_bytes(b"flop")
    assert cli("store", "check", "--store", root) == 1
    repair = "`pybuild store check --repair` "
    assert f"1 fault; {repair}removes 1 blob, so that it is made again\n" in cli.err
    with Store.open(Path(root)) as store:
        sound = store.blobs.path(store.blobs.put(b"sound"))
    sound.chmod(0o666)
    assert cli("store", "check", "--store", root) == 1
    assert f"2 faults; {repair}removes 1 blob, so that it is made again, and mends 1 blob\n" in cli.err
    sound.chmod(0o644)
    assert cli("store", "check", "--json", "--store", root) == 1
    assert json.loads(cli.out)[0]["kind"] == "blob"
    assert cli("store", "check", "--repair", "--store", root) == 0
    assert "repaired" in cli.out
    assert cli.err == "1 fault, repaired\n"
    sound.chmod(0o666)
    assert cli("store", "check", "--store", root) == 1
    assert cli.err == f"1 fault; {repair}mends 1 blob\n"
    assert cli("store", "check", "--repair", "--store", root) == 0
    assert sound.stat().st_mode & 0o777 == 0o644
    assert cli("store", "check", "--store", root) == 0


def test_the_store_of_the_environment(cli: Any, root: str) -> None:
    cli.environ["PYBUILD_STORE"] = root
    assert cli("store", "path") == 0
    assert cli.out == f"{root}\n"


@pytest.mark.parametrize(
    "words", ["df", "ls", "builds", "prune --all", "store check", "store check --repair", "store quota"]
)
def test_looking_makes_no_store(cli: Any, tmp_path: Path, words: str) -> None:
    assert cli(*words.split(), "--store", str(tmp_path / "none")) == 16
    assert "there is no store at" in cli.err
    assert not (tmp_path / "none").exists()


def test_inspect_takes_the_beginning_of_a_digest_and_speaks_like_a_build_file(cli: Any, root: str) -> None:
    assert cli("inspect", "web:dev", "--json", "--store", root) == 0
    digest = json.loads(cli.out)["digest"]
    for name in (digest[:19], digest[7:19], digest[7:]):
        assert cli("inspect", name, "--store", root) == 0
        assert digest in cli.out
        assert cli("ls", "-q", name, "--store", root) == 0
        assert cli.out == f"{digest}\n"
    assert cli("inspect", "web:dev", "--store", root) == 0
    assert "\n  label       a=b\n" in cli.out
    assert cli("inspect", digest[:9], "--store", root) == 16


def test_a_healthcheck_is_readable() -> None:
    from buildkit_py.cli.images import _config

    check = {"Test": ["CMD", "app", "ping"], "Interval": 30_000_000_000, "Retries": 3}
    config = {"Cmd": ["sh"], "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGINT", "Healthcheck": check}
    assert _config(config) == [
        ("command", '["sh"]'),
        ("expose", "80/tcp"),
        ("stop_signal", "SIGINT"),
        ("healthcheck", '["app", "ping"]'),
        ("", "interval 30s"),
        ("", "retries 3"),
    ]


def test_df_of_images_and_caches(cli: Any, root: str) -> None:
    with Store.open(Path(root)) as store, store.caches.directory("pip\x1b", sharing="shared") as path:
        (path / "wheel").write_bytes(b"x" * 100)
    assert cli("df", "-v", "--store", root) == 0
    lines = cli.out.splitlines()
    assert any(line.split() == ["IMAGE", "DIGEST", "NAMED", "SIZE", "SHARED", "UNIQUE"] for line in lines)
    assert any(line.startswith("web:dev ") and " 0 B " in line for line in lines)
    assert any(line.startswith("pip") and line.endswith("100 B") for line in lines)
    assert "\x1b" not in cli.out
    assert cli("df", "--json", "--store", root) == 0
    found = json.loads(cli.out)
    assert [image["name"] for image in found["images"]] == ["web:dev"]
    assert found["images"][0]["bytes"] == found["images"][0]["unique"] > 1024
    assert found["quota"] is None


def test_the_quota(cli: Any, root: str) -> None:
    assert cli("store", "quota", "--store", root) == 0
    assert cli.out.startswith("no quota; ")
    assert cli("store", "quota", "20GB", "--store", root) == 0
    assert cli.out.startswith("quota 20.0 GB; ")
    assert cli("store", "quota", "--json", "--store", root) == 0
    assert json.loads(cli.out)["quota"] == 20_000_000_000
    assert cli("df", "--store", root) == 0
    assert cli.out.splitlines()[-1].startswith("quota: 20.0 GB, ")
    assert cli("store", "quota", "1kB", "--store", root) == 0
    assert "the next build brings it below that" in cli.err
    assert cli("store", "quota", "much", "--store", root) == 2
    assert "write it as 10GB or 512MiB, or as none" in cli.err
    assert cli("store", "quota", "none", "--store", root) == 0
    assert cli.out.startswith("no quota; ")
    assert cli("store", "check", "20GB", "--store", root) == 2


def test_rules_of_prune(cli: Any, root: str) -> None:
    assert cli("prune", "--images", "--store", root) == 2
    assert "needs a rule that says which names may go" in cli.err
    assert cli("prune", "--images", "--all", "--keep-name", "web:*", "-v", "--store", root) == 0
    assert "its name fits 'web:*'" in cli.out
    assert cli("prune", "--kind", "blubs", "--store", root) == 2
    assert "it is one of blob, snapshot, cache, build, partial" in cli.err
    assert cli("prune", "--kind", "caches", "--keep-last", "3", "--store", root) == 0
    assert cli("prune", "--keep-last", "0", "--store", root) == 2
    assert cli("prune", "-af", "--store", root) == 2
    assert "has no option -f that can stand behind -a" in cli.err
    assert cli("prune", "--images", "--keep", "0B", "--store", root) == 0
    assert cli("ls", "--store", root) == 0
    assert cli.out == "no images\n"


def test_explaining(cli: Any, root: str) -> None:
    assert cli("ls", "-q", "--store", root) == 0
    digest = cli.out.strip()
    assert cli("prune", "--all", "--explain", digest, "--store", root) == 0
    head, why, chain = cli.out.splitlines()
    assert head.startswith(f"blob {digest} (")
    assert why == "  is kept: image web:dev needs it"
    assert chain == f"  image web:dev → manifest {digest[:19]}"
    assert cli("prune", "--explain", "web:dev", "--json", "--store", root) == 0
    (found,) = json.loads(cli.out)
    assert (found["kind"], found["remove"], found["chains"]) == ("image", False, [["image web:dev", digest]])
    assert cli("prune", "--explain", "nothing", "--store", root) == 16


def test_an_additional_store_is_listed_and_a_missing_one_is_a_warning(cli: Any, root: str, tmp_path: Path) -> None:
    cli.environ["PYBUILD_ADDITIONAL_STORES"] = f"{root}:/none"
    cli.environ["PYBUILD_STORE"] = str(tmp_path / "mine")
    assert cli("ls") == 0
    head, row = cli.out.splitlines()
    assert head.split()[-1] == "STORE"
    assert row.split()[-1] == root
    assert cli.err == "warning: the additional store /none is not used: there is nothing of that name\n"
    assert cli("inspect", "web:dev") == 0
    assert cli("store", "check") == 0
