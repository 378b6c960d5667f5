from __future__ import annotations

from pathlib import Path

import pytest

from buildkit_py.errors import NotFoundError, UsageError
from buildkit_py.service.home import Home, Service, new_directory
from buildkit_py.service.unit import Switch

ONE, TWO, THREE = ("1" * 16, "2" * 16, "3" * 16)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "services")


def put(home: Home, units: Path, name: str = "web") -> Service:
    service = home.service(name)
    service.put_at(units)
    return service


def lay(service: Service, release: str) -> None:
    with new_directory(service.path / "releases", release) as made:
        (made / "unit").write_text(f"[Service]\nExecStart=/{release}\n")
        (made / "rootfs").mkdir()


def switch(service: Service, release: str, previous: str | None = None) -> None:
    service.commit(Switch(service=service.name, root=str(service.home.root), release=release, previous=previous))


def releases(service: Service) -> set[str]:
    return {path.name for path in (service.path / "releases").iterdir()}


def test_the_unit_is_the_switch(home: Home, tmp_path: Path) -> None:
    with home.alone():
        service = put(home, tmp_path / "units")
        for release in (ONE, TWO, THREE):
            lay(service, release)
        switch(service, TWO, ONE)
    found = home.installed("web")[1]
    assert (found.release, found.previous) == (TWO, ONE)
    assert f"ExecStart=/{TWO}\n" in (tmp_path / "units/web.service").read_text()
    with home.alone():
        assert releases(service) == {ONE, TWO}


def test_what_was_not_finished_goes(home: Home, tmp_path: Path) -> None:
    with home.alone():
        service = put(home, tmp_path / "units")
        lay(service, ONE)
        switch(service, ONE)
    left = [service.path / place / ".pybuild-new-1234" for place in ("state", "releases", "..")]
    for path in left:
        (path / "inner").mkdir(parents=True)
    for name in (tmp_path / "units/.web.service.pybuild", service.path / ".place.json.pybuild"):
        name.write_text("half")
        left.append(name)
    with home.alone():
        assert [path for path in left if path.exists()] == []
        assert releases(service) == {ONE}


def test_a_link_that_leads_to_nothing_goes(home: Home, tmp_path: Path) -> None:
    with home.alone():
        service = put(home, tmp_path / "units")
        lay(service, ONE)
        (service.state / "data").mkdir()
        switch(service, ONE)
        service.enable(True)
    link = tmp_path / "units/multi-user.target.wants/web.service"
    (tmp_path / "units/web.service").unlink()
    with home.alone():
        assert not link.is_symlink()
    (tmp_path / "units/web.service").write_text("[Service]\nExecStart=/somebody/else\n")
    link.symlink_to(tmp_path / "units/web.service")
    with home.alone():
        assert link.is_symlink()


def test_what_was_never_installed_goes(home: Home, tmp_path: Path) -> None:
    with home.alone():
        service = put(home, tmp_path / "units")
        lay(service, ONE)
        (service.state / "data").mkdir()
        (service.path / "releases/.pybuild-new-1234").mkdir()
    with home.alone():
        assert list(home.root.iterdir()) == []


def test_what_a_service_kept_stays(home: Home, tmp_path: Path) -> None:
    with home.alone():
        service = put(home, tmp_path / "units")
        lay(service, ONE)
        (service.state / "data").mkdir()
        switch(service, ONE)
        service.drop()
    with home.alone():
        assert (service.state / "data").is_dir()
        assert releases(service) == set()
    with pytest.raises(NotFoundError):
        home.installed("web")


def test_a_kill_between_the_switch_and_its_note(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with home.alone():
        service = put(home, tmp_path / "units")
        lay(service, ONE)
        (service.state / "data").mkdir()
        monkeypatch.setattr(Service, "_settle", lambda self: None)
        switch(service, ONE)
        monkeypatch.undo()
    with home.alone():
        service.drop()
    with home.alone():
        assert (service.state / "data").is_dir()


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    """Somebody names a directory of theirs as the root."""
    for name in ("documents", "web"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "letter").write_text("dear")
    home = Home(tmp_path)
    with home.alone():
        pass
    with pytest.raises(UsageError, match="not of this service"), home.alone():
        put(home, tmp_path / "units")
    assert {path.read_text() for path in tmp_path.glob("*/letter")} == {"dear"}


@pytest.mark.parametrize(
    "text", ["[Service]\nExecStart=/x\n", "", "[X-Pybuild]\nService=other\nRoot=/x\nRelease=" + ONE + "\n"]
)
def test_a_unit_of_somebody_else_is_not_replaced(home: Home, tmp_path: Path, text: str) -> None:
    (tmp_path / "units").mkdir()
    (tmp_path / "units/web.service").write_text(text)
    with pytest.raises(UsageError, match="is not of this service"), home.alone():
        put(home, tmp_path / "units")
    assert (tmp_path / "units/web.service").read_text() == text


def test_a_unit_of_the_machine_is_not_hidden(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "machine").mkdir()
    (tmp_path / "machine/ssh.service").symlink_to("nowhere")
    monkeypatch.setattr("buildkit_py.service.home._SYSTEM_UNITS", (str(tmp_path / "machine"),))
    with pytest.raises(UsageError, match=r"has a unit ssh\.service of its own"), home.alone():
        put(home, tmp_path / "units", "ssh")


def test_units_of_the_machine_are_known(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    units, machine = tmp_path / "units", tmp_path / "machine"
    units.mkdir()
    machine.mkdir()
    monkeypatch.setattr("buildkit_py.service.home._SYSTEM_UNITS", (str(machine),))
    monkeypatch.setattr("buildkit_py.service.home.UNITS", units)
    (machine / "ssh.service").touch()
    (units / "own.service").touch()
    with home.alone():
        service = put(home, units)
        lay(service, "0" * 16)
        switch(service, "0" * 16)
    assert [name for name in ("ssh", "own", "web", "none") if home.is_foreign(name)] == ["ssh", "own"]


def test_a_directory_is_whole_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), new_directory(tmp_path, "x") as made:
        (made / "half").write_text("")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("root", ["/a\nb", '/a"b', "/a\\b", "/a'b", "/a\x1bb"])
def test_places_that_no_unit_can_name(root: str) -> None:
    with pytest.raises(UsageError):
        Home(Path(root))


def test_only_its_own_section_is_the_switch() -> None:
    whole = Switch(service="web", root="/r", release=ONE).complete("[Unit]\nDescription=x\n")
    assert Switch.read(whole) == Switch(service="web", root="/r", release=ONE)
    assert Switch.read(f"{whole}\n[Service]\nNice=5\n") == Switch.read(whole)
    assert Switch.read(whole.replace("Release=", "Release=x")) is None


def test_a_disk_that_is_not_there_takes_nothing_away(home: Home, tmp_path: Path) -> None:
    with home.alone():
        service = put(home, tmp_path / "units")
        lay(service, ONE)
        switch(service, ONE)
    (tmp_path / "units").rename(tmp_path / "away")
    with home.alone():
        assert releases(service) == {ONE}
