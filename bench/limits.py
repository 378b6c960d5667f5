"""What stands in the way of the rows that miss their targets, as far as it is known."""

from __future__ import annotations

LIMITS = {
    "W1 cold": (
        "not at a bound. The engine and the HTTP client are imported, 1,600 files are laid down for the two "
        "RUNs by one thread, and some twenty syncs are waited for."
    ),
    "W1 edit": (
        "not at a bound. About half is importing the engine; the rest is looking at 2,000 files and syncing "
        "one layer, one manifest and one name."
    ),
    "W3 cold": (
        "one thread of Python: some 45 microseconds a file in the pass for the key, and as many in the pass "
        "for the layer."
    ),
    "W3 cold oci": "as W3 cold.",
    "W6 cold": (
        "one second is slept. The rest by `pybuild timings`: 0.15 s to compile, 0.05 s to unpack the base, "
        "0.1 s for eight sandboxes on two cores, 0.15 s for eight copies one after another."
    ),
    "W7 cold pull": (
        "where the copy goes depends on the names in the base, and no registry tells them. 125 MB are fetched"
        " (0.4 s), inflated, hashed and read (1.2 s), but not laid down."
    ),
    "W7 push": "starting Python and importing the HTTP client. After the first round every tool mounts all blobs.",
    "W8 cold": "not profiled apart: unpacking the base by one thread, and dpkg. The spread is that of the disk.",
    "W8 cold oci": "as W8 cold.",
    "W9 cold": "not at a bound. More than half is importing the engine, the frontend and the HTTP client.",
    "W9s cold": "not at a bound. Each of 100,000 names is matched by Python, one after another.",
}
