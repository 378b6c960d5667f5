"""What random Dockerfiles once showed to be done otherwise, each as small as it can be told."""

from __future__ import annotations

import tarfile

from tests.differential.case import DOCKER, archive, case
from tests.support.layouts import Entry, link

CASES = [
    case(
        "found-chown-unknown-on-nothing",
        "on nothing at all a name is an error",
        "FROM scratch\nCOPY --chown=app f /f\n",
        {"f": "f"},
        on=(DOCKER,),
        fails=True,
    ),
    case(
        "found-workdir-unknown-user",
        "what WORKDIR makes for a USER that nobody knows is root's",
        "FROM busybox\nUSER nobody-there\nWORKDIR /p/q\nUSER app:nobody-there\nWORKDIR r\n",
        on=(DOCKER,),
    ),
    case(
        "found-add-names-that-go-up",
        "names in an archive may go up again, as long as they stay inside",
        "FROM scratch\nADD a.tar /o/\n",
        {
            "a.tar": archive(
                link("d", "/etc"),
                Entry(name="d/../f", data=b"f"),
                Entry(name="q/./r//s", data=b"s"),
                Entry(name="h", kind=tarfile.LNKTYPE, target="z/../f"),
            )
        },
        on=(DOCKER,),
    ),
    case(
        "found-add-hard-link-metadata",
        "what the last name of a file says of owner and mode is said of all",
        "FROM scratch\nADD a.tar /o/\n",
        {
            "a.tar": archive(
                Entry(name="a", data=b"a", mode=0o755, uid=5, gid=5),
                Entry(name="b", kind=tarfile.LNKTYPE, target="a", mode=0o755, uid=5, gid=5),
                Entry(name="c", kind=tarfile.LNKTYPE, target="b", mode=0o600, uid=7, gid=8),
            )
        },
        on=(DOCKER,),
    ),
]
