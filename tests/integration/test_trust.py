"""Base images and the trust policy: what is not signed as it demands is not fetched, unpacked or built upon."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import bases
from tests.support.command import Pybuild, Result
from tests.support.faulty_registry import FaultyRegistry, faulty_registry
from tests.support.registry import write_config

DOCKERFILE = "FROM {image}\nRUN echo made > /made\n"
BUILDFILE = 'buildfile 1\nimage app {{\n  from "{image}"\n  layer "made" {{\n    run echo made > /made\n  }}\n}}\n'


@dataclass(slots=True)
class World:
    """A registry that remembers what it was asked for, a project, and two keys."""

    pybuild: Pybuild
    registry: FaultyRegistry
    project: Path
    layers: tuple[str, ...]

    @property
    def image(self) -> str:
        return f"{self.registry.name}/library/base:1"

    def policy(self, *keys: str, **identity: Any) -> None:
        """Demand a signature by each key, in the file that all tools for containers read."""
        demands = [{"type": "sigstoreSigned", "keyPath": str(self.pybuild.home / f"{name}.pub")} for name in keys]
        self.write({"default": [{**item, **({"signedIdentity": identity} if identity else {})} for item in demands]})

    def write(self, plain: Any) -> None:
        file = self.pybuild.home / ".config" / "containers" / "policy.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(plain))

    def sign(self, key: str = "k", *more: str) -> None:
        self.pybuild.ok("sign", "--key", f"{key}.key", *more, f"docker://{self.image}")

    def build(self, *more: str) -> Result:
        return self.pybuild("build", "-q", "-t", "app:1", *more, ".", cwd=self.project)

    def asked_for_layers(self) -> list[str]:
        return [item.path for item in self.registry.requests if any(layer in item.path for layer in self.layers)]

    def settle(self) -> None:
        """Let all files be old enough for a receipt."""
        places = [self.project, *self.project.rglob("*"), *self.pybuild.home.rglob("*")]
        time.sleep(max(0.0, max(path.lstat().st_ctime for path in places) + 2.1 - time.time()))

    def told_from_a_receipt(self) -> bool:
        """Build until that is so, and say whether it ever was."""
        self.settle()
        for _ in range(3):
            result = self.pybuild.having(PYTHONPROFILEIMPORTTIME="1")(
                "build", "-q", "-t", "app:1", ".", cwd=self.project
            )
            assert result.code == 0, result.output
        return "buildkit_py.engine.run" not in result.stderr


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    (tmp_path / "home").mkdir()
    (tmp_path / "project").mkdir()
    with faulty_registry() as registry:
        registries = write_config(tmp_path / "registries.toml", registry.name)
        pybuild = Pybuild(home=tmp_path / "home", store=tmp_path / "store", registries=registries)
        pybuild = pybuild.having(PYBUILD_KEY_PASSWORD="secret of the test")
        made = World(pybuild, registry, tmp_path / "project", fill(registry))
        (made.project / "Dockerfile").write_text(DOCKERFILE.format(image=made.image))
        for name in ("k", "other"):
            pybuild.ok("key", "generate", "-o", name)
        yield made


def fill(registry: FaultyRegistry) -> tuple[str, ...]:
    """Put the smallest base into the registry; the digests of its layers."""
    layout = bases.layout("tiny")
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    raw = (layout / "blobs" / entry["digest"].replace(":", "/")).read_bytes()
    manifest = json.loads(raw)
    for item in (manifest["config"], *manifest["layers"]):
        registry.put((layout / "blobs" / item["digest"].replace(":", "/")).read_bytes())
    registry.add_manifest("library/base", "1", raw, entry["mediaType"])
    return tuple(item["digest"] for item in manifest["layers"])


@pytest.mark.parametrize("text", [DOCKERFILE, BUILDFILE], ids=["Dockerfile", "Buildfile"])
def test_an_unsigned_base_stops_the_build_before_any_layer_is_fetched(world: World, text: str) -> None:
    (world.project / "Dockerfile").unlink()
    name = "Buildfile" if text is BUILDFILE else "Dockerfile"
    (world.project / name).write_text(text.format(image=world.image))
    world.policy("k")
    refused = world.build()
    assert refused.code == 18, refused.output
    assert f"{world.image} is not signed" in refused.stderr
    assert "policy.json demands it for the default" in refused.stderr
    world.sign("other")
    wrong = world.build()
    assert wrong.code == 19, wrong.output
    assert world.asked_for_layers() == []
    assert not list((world.pybuild.store / "snapshots").iterdir())
    world.sign("k")
    accepted = world.build()
    assert accepted.code == 0, accepted.output
    assert world.asked_for_layers()


def test_what_is_pulled_or_copied_is_held_against_the_policy(world: World) -> None:
    world.policy("k")
    words = (
        ("pull", world.image),
        ("copy", f"docker://{world.image}", "oci:there"),
        ("copy", f"docker://{world.image}", f"docker://{world.registry.name}/other:1"),
    )
    for each in words:
        refused = world.pybuild(*each, cwd=world.project)
        assert refused.code == 18, refused.output
        assert "policy.json demands it for the default" in refused.stderr
    assert world.asked_for_layers() == []
    assert not (world.project / "there").exists()
    (world.project / "mirror.toml").write_text(
        f'[[sync]]\nfrom = "{world.registry.name}/library/base"\nto = "oci:mirror"\ntags = ["1"]\n'
    )
    assert world.pybuild("sync", "mirror.toml", cwd=world.project).code == 18
    world.sign()
    for each in words:
        world.pybuild.ok(*each, cwd=world.project)
    world.pybuild.ok("sync", "mirror.toml", cwd=world.project)
    world.write({"default": [{"type": "reject"}]})
    world.pybuild.ok("save", world.image, "-o", "image.tar", cwd=world.project)
    assert world.pybuild("load", "-i", "image.tar", cwd=world.project).code == 18
    accepting = world.project / "accepting.json"
    accepting.write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
    world.pybuild.ok("load", "-i", "image.tar", "--policy", "accepting.json", cwd=world.project)


def test_a_signature_of_another_name_does_not_count(world: World) -> None:
    world.policy("k")
    world.sign("k", "--identity", f"{world.registry.name}/library/base:2")
    refused = world.build()
    assert refused.code == 19, refused.output
    assert "is signed as" in refused.stderr
    world.policy("k", type="matchRepository")
    assert world.build().code == 0


def test_the_policy_for_files_counts_where_they_are_loaded_from(world: World) -> None:
    world.pybuild.ok("copy", f"docker://{world.image}", "base:1")
    archives = world.project / "archives"
    (archives / "ok:other").mkdir(parents=True)
    for file in ("ok", "ok:other/x.tar"):
        world.pybuild.ok("save", "base:1", "-o", archives / file, "--format", "oci-archive")
    rejected, accepted = [{"type": "reject"}], [{"type": "insecureAcceptAnything"}]
    scope = str((archives / "ok").resolve())
    world.write({"default": rejected, "transports": {"oci-archive": {scope: accepted, str(world.project): rejected}}})
    world.pybuild.ok("load", "-i", archives / "ok")
    # The path is its own, whatever a colon in it looks like.
    assert world.pybuild("load", "-i", archives / "ok:other" / "x.tar").code == 18
    # One image of an archive may be refused by its name.
    named = f"{scope}:base:1"
    world.write({"default": rejected, "transports": {"oci-archive": {scope: accepted, named: rejected}}})
    assert world.pybuild("load", "-i", archives / "ok").code == 18
    # What comes by standard input comes from no directory.
    world.write({"default": rejected, "transports": {"oci-archive": {str(archives): accepted}}})
    assert world.pybuild("load", cwd=archives, stdin=(archives / "ok").read_bytes()).code == 18
    world.write({"default": rejected, "transports": {"oci-archive": {"": accepted}}})
    world.pybuild.ok("load", cwd=archives, stdin=(archives / "ok").read_bytes())


def test_what_is_in_the_store_is_held_against_the_policy_of_today(world: World) -> None:
    assert world.build().code == 0
    layers = len(world.asked_for_layers())
    world.policy("k")
    refused = world.build()
    assert refused.code == 18, refused.output
    assert world.pybuild("build", "-q", "--no-cache", ".", cwd=world.project).code == 18
    world.sign()
    assert world.build().code == 0
    world.policy("other")
    assert world.build().code == 19
    world.write({"default": [{"type": "reject"}]})
    assert world.build().code == 18
    world.policy("k")
    assert world.build().code == 0
    assert len(world.asked_for_layers()) == layers


def test_a_receipt_does_not_outlive_the_policy_that_it_was_made_under(world: World) -> None:
    assert world.told_from_a_receipt()
    world.policy("k")
    assert world.build().code == 18
    world.sign()
    assert world.told_from_a_receipt()
    world.registry.requests.clear()
    assert world.build().code == 0
    assert world.registry.requests == []
    # Only the key changes, not the policy.
    public = world.pybuild.home / "k.pub"
    public.write_bytes((world.pybuild.home / "other.pub").read_bytes())
    assert world.build().code == 19


def test_a_lock_file_is_no_way_round(world: World) -> None:
    (world.project / "Dockerfile").unlink()
    (world.project / "Buildfile").write_text(BUILDFILE.format(image=world.image))
    assert world.build().code == 0
    assert (world.project / "Buildfile.lock").exists()
    world.policy("k")
    assert world.build("--locked").code == 18
    fresh = World(
        Pybuild(
            home=world.pybuild.home,
            store=world.pybuild.store.with_name("fresh"),
            registries=world.pybuild.registries,
            environment=world.pybuild.environment,
        ),
        world.registry,
        world.project,
        world.layers,
    )
    world.registry.requests.clear()
    assert fresh.build("--locked").code == 18
    assert world.asked_for_layers() == []
    assert fresh.pybuild("update", cwd=world.project).code == 18
    world.sign()
    assert fresh.build("--locked").code == 0


def test_policies_may_be_named(world: World) -> None:
    file = world.pybuild.home / "strict.json"
    file.write_text(json.dumps({"default": [{"type": "reject"}]}))
    assert world.build("--policy", str(file)).code == 18
    named = world.pybuild.having(PYBUILD_POLICY=str(file))
    assert named("build", "-q", ".", cwd=world.project).code == 18
    lax = world.pybuild.home / "lax.json"
    lax.write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
    assert named("build", "-q", "--policy", str(lax), ".", cwd=world.project).code == 0
    assert world.build("--policy", str(world.pybuild.home / "none.json")).code == 2
    file.write_text('{"default": [{"type": "sure"}]}')
    broken = world.build("--policy", str(file))
    assert broken.code == 2
    assert "there is no requirement 'sure'" in broken.stderr


def test_a_named_policy_is_read_where_no_image_is_asked_of_it(world: World) -> None:
    (world.project / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /f\n")
    file = world.pybuild.home / "named.json"
    for command in (("build", "-q"), ("graph",), ("update",)):
        refused = world.pybuild(
            *command, "--policy", str(file), *(["."] if command[0] != "update" else []), cwd=world.project
        )
        assert refused.code == 2, refused.output
        assert f"there is no trust policy {file}" in refused.stderr
    file.write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
    world.settle()
    for _ in range(3):
        assert world.build("--policy", str(file)).code == 0
    # A receipt knows of the file too.
    file.unlink()
    assert world.build("--policy", str(file)).code == 2
    copied = world.pybuild("copy", "--policy", str(file), "app:1", "oci:out", cwd=world.project)
    assert copied.code == 2, copied.output


def test_an_image_that_nobody_demands_a_signature_of_is_not_verified(world: World) -> None:
    """`verify x && deploy` goes on after 0 alone, with a policy that accepts everything as most systems have it."""
    pybuild, image = world.pybuild, world.image
    (pybuild.home / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    unasked = pybuild("verify", "--policy", "policy.json", f"docker://{image}")
    assert (unasked.code, unasked.stdout) == (18, "")
    assert "was looked at: policy.json (the default) accepts it without one" in unasked.stderr
    assert "--key FILE" in unasked.stderr
    told = pybuild("verify", "--json", "--policy", "policy.json", f"docker://{image}")
    assert (told.code, json.loads(told.stdout)["signed"]) == (18, False)
    pybuild.ok("pull", image)
    pybuild.ok("tag", image, "mine:1")
    stored = pybuild("verify", "--policy", "policy.json", "mine:1")
    assert stored.code == 18
    assert "no signature of mine:1 (sha256:" in stored.stderr
    assert "docker.io" not in stored.stderr


def test_images_in_files_are_judged_by_their_place(world: World) -> None:
    bases.place("tiny", world.project / "base")
    (world.project / "Dockerfile").unlink()
    (world.project / "Buildfile").write_text(BUILDFILE.format(image="oci:base"))
    reject, accept = [{"type": "reject"}], [{"type": "insecureAcceptAnything"}]
    world.write({"default": accept, "transports": {"oci": {str(world.project.resolve()): reject}}})
    refused = world.build()
    assert refused.code == 18, refused.output
    world.write({"default": reject, "transports": {"oci": {str(world.project.resolve() / "base"): accept}}})
    assert world.build().code == 0


def test_images_that_were_made_here_are_judged_by_their_name(world: World) -> None:
    assert world.build().code == 0
    (world.project / "Dockerfile").write_text("FROM app:1\nRUN echo more > /more\n")
    accept = [{"type": "insecureAcceptAnything"}]
    world.write({"default": [{"type": "reject"}]})
    build = ("build", "-q", "-t", "next:1", ".")
    assert world.pybuild(*build, cwd=world.project).code == 18
    world.write({"default": [{"type": "reject"}], "transports": {"docker": {"docker.io/library/app": accept}}})
    result = world.pybuild(*build, cwd=world.project)
    assert result.code == 0, result.output
