"""Guards of the sandbox taken away, one by one, for the proof that the tests of them notice.

Each function is called in the process of the command before anything else, and only changes what that process has.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from buildkit_py.dataclass import replace
from buildkit_py.executor import snapshotter
from buildkit_py.executor.sandbox import bwrap, direct, host, init, kernel, oci, system
from buildkit_py.executor.sandbox.init import Init
from buildkit_py.layer import upper


def _changed(owner: Any, name: str, change: Callable[[Any], Any]) -> None:
    """Have what a function returns changed."""
    function = getattr(owner, name)
    setattr(owner, name, lambda *args, **more: change(function(*args, **more)))


def calls_are_not_filtered() -> None:
    """No filter of system calls."""
    _changed(oci, "_covers", lambda covers: {name: value for name, value in covers.items() if name != "seccomp"})
    privileges = bwrap._privileges
    bwrap._privileges = lambda spec, data: privileges(replace(spec, insecure=True), data)


def the_bounding_set_is_full() -> None:
    """As bubblewrap leaves it."""
    bwrap._dropped = lambda _: []


def capabilities_are_inheritable() -> None:
    """CVE-2022-29162."""

    def inherit(process: dict[str, Any]) -> dict[str, Any]:
        held = process["capabilities"]
        return {**process, "capabilities": {**held, "inheritable": held["bounding"]}}

    _changed(oci, "_process", inherit)


def groups_of_the_builder_stay() -> None:
    """CVE-2022-2989."""
    _changed(oci, "_process", lambda process: {**process, "user": {**process["user"], "additionalGids": [4242]}})


def descriptors_stay_open() -> None:
    """Those that init needs, and those that pybuild was started with."""
    kernel.close_from = lambda *_: None  # type: ignore[assignment]
    made = Init.__init__

    def leak(self: Init, *args: Any) -> None:
        made(self, *args)
        self._items = [item for item in self._items if getattr(item, "name", "") != "close_range"]

    Init.__init__ = leak  # type: ignore[method-assign]


def privileges_can_be_gained() -> None:
    """No no_new_privs."""
    _changed(oci, "_process", lambda process: {**process, "noNewPrivileges": False})


def settings_are_open() -> None:
    """Nothing of /proc is covered or read-only."""
    system.READ_ONLY = system.MASKED = ()


def nodes_are_devices() -> None:
    """No mount is `nodev`."""
    kernel.NODEV = 0


def the_working_directory_is_believed() -> None:
    """A directory of the machine is open, and nobody looks where the step is in the end (CVE-2024-21626)."""
    enter = direct._enter
    store = os.environ["PYBUILD_STORE"]

    def leak(*args: Any) -> None:
        os.dup2(os.open(store, os.O_PATH), 7)
        enter(*args)

    direct._enter = leak
    init._INSIDE = ()  # type: ignore[assignment]
    system.hide = lambda _: None  # type: ignore[assignment]


def host_steps_see_srv() -> None:
    """The machine's /srv in place of an empty one."""
    del host._EMPTY["/srv"]
    host._PROGRAMS = (*host._PROGRAMS, "srv")


def host_steps_write_usr() -> None:
    """The machine's programs are not read-only to a host step."""
    _changed(host, "_bind", lambda mount: replace(mount, read_only=mount.target != "/usr"))


def host_steps_fill_dev() -> None:
    """What lies below /dev, /proc and /sys is in the layer."""
    upper._Reader._is_hidden = lambda *_: False  # type: ignore[method-assign]


def overlays_keep_to_trusted_attributes() -> None:
    """No `userxattr` in a user namespace."""
    snapshotter.in_user_namespace = lambda: False  # type: ignore[attr-defined]
