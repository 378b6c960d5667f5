"""What random Dockerfiles once showed to be done otherwise, where Debian's release is too old to be asked."""

from __future__ import annotations

from tests.differential.case import archive, file, folder, pipe
from tests.differential.reason import Reasoned, reason
from tests.differential.tree import file_text as f
from tests.differential.tree import folder_text as d
from tests.support.layouts import Entry

_MODES = {"d": folder(), "d/x": file("x", 0o750), "d/su": file("su", 0o6755), "d/s": folder(0o2750)}
_F = {"f": "f"}


def chmod(name: str, rule: str, mode: str, plain: int, special: int, inner: int) -> Reasoned:
    """A symbolic mode on 0750, 6755 and a directory of 2750."""
    expected = {"/n": d(), "/n/x": f("x", plain), "/n/su": f("su", special), "/n/s": d(inner)}
    return reason(f"found-chmod-{name}", rule, f"FROM scratch\nCOPY --chmod={mode} d /n\n", _MODES, tree=expected)


CASES = [
    chmod("others-sticky", "others alone have no sticky bit", "o+t", 0o750, 0o6755, 0o2750),
    chmod("others-set-sticky", "nor do they get one", "o=rt", 0o754, 0o6754, 0o2754),
    chmod("sticky-alone", "the sticky bit of nobody in particular leaves the rest", "=t", 0o1750, 0o7755, 0o3750),
    chmod("copied", "what one has from another is no set-id bit, and takes none", "u=g", 0o550, 0o6555, 0o2550),
    chmod("copied-to-all", "so it is for all", "a=u", 0o777, 0o6777, 0o2777),
    chmod("set", "= takes the set-id bit away, from a directory too", "g=X", 0o710, 0o4715, 0o710),
    chmod("set-for-all", "and from all", "=X", 0o111, 0o111, 0o111),
    chmod("before", "X asks for what there was before", "u-x,a+X", 0o751, 0o6755, 0o2751),
    chmod("set-and-set-id", "clauses go one after the other", "a=rwX,u+s", 0o4777, 0o4777, 0o4777),
    chmod("set-id-of-two", "s of others says nothing", "go+s", 0o2750, 0o6755, 0o2750),
    reason("found-chmod-special-bits", "made directories have the permissions of an octal mode, not its special bits",
           "FROM scratch\nCOPY --chmod=7711 d /n\nCOPY --chmod=4711 d/x /p/q/\n", _MODES,
           layers=[{"/n": d(0o711), "/n/x": f("x", 0o7711), "/n/su": f("su", 0o7711), "/n/s": d(0o7711)},
                   {"/p": d(0o711), "/p/q": d(0o711), "/p/q/x": f("x", 0o4711)}]),
    reason("found-chmod-pipe", "pipes get a mode too", "FROM scratch\nCOPY --chmod=600 p /p\nCOPY --chmod=go+w p /q\n",
           {"p": pipe}, tree={"/p": "pipe 0600 0:0", "/q": "pipe 0666 0:0"}),
    reason("found-chown-unknown-on-layers", "without /etc/passwd a name is root, once there is something",
           "FROM scratch\nCOPY f /f\nCOPY --chown=app f /a\nCOPY --chown=5:app f /b\nCOPY --chown=:app f /c\n", _F,
           layers=[{"/f": f("f")}, {"/a": f("f")}, {"/b": f("f", owner="5:5")}, {"/c": f("f")}]),
    reason("found-chown-root", "root is known everywhere, and an empty group is his",
           "FROM scratch\nCOPY --chown=root f /a\nCOPY --chown=5: f /b\nCOPY --link --chown=root:root f /c\n", _F,
           layers=[{"/a": f("f")}, {"/b": f("f", owner="5:0")}, {"/c": f("f")}]),
    reason("found-add-names-that-lead-out", "a name in an archive that leads out is an error",
           "FROM scratch\nADD a.tar /o/\n", {"a.tar": archive(Entry(name="x/../../y", data=b"y"))}, fails=(0, 2)),
    reason("found-ssh-not-given", "SSH_AUTH_SOCK names the place of an agent that was not given, too",
           "FROM busybox\nRUN --mount=type=ssh echo ${SSH_AUTH_SOCK-unset} > /x; ls -d /run/* >> /x; true\n",
           tree={"/x": f("/run/buildkit/ssh_agent.0\n")}),
]  # fmt: skip
