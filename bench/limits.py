"""What bounds the rows that miss their targets; the figures are of PROFILES.md, which `make profile` makes anew."""

from __future__ import annotations

LIMITS = {
    "W1 cold": (
        "Python. 17 ms start the interpreter, 132 ms import 425 modules; of the rest, which one thread of the "
        "interpreter does, a fifth lays down 1,600 files for the two RUNs (35 microseconds each), and a fifth gives "
        "the tar of the layers to the threads that compress it. 46 ms are syncs, which the peers do without."
    ),
    "W1 edit": (
        "Python. Starting it and importing 272 modules takes 94 of 168 ms, more than half. The rest is a "
        "look at 2,000 files, one layer, and the syncs of a layer, a manifest and a name."
    ),
    "W3 cold": (
        "Python, on one thread: for each of 20,000 files 25 microseconds to know it (of which opening, reading, "
        "hashing and closing it are 9), 15 to put it into the diff, 25 to read, check and archive it; 1.3 s of 1.6. "
        "Compressing and the digests of the tar go on beside it, on the other core."
    ),
    "W3 cold oci": (
        "as W3 cold. The best peer's archive is not compressed: to those that compress it, the ratio is 0.12."
    ),
    "W6 cold": (
        "one second is slept, 0.16 s start Python and import. The rest by `pybuild timings`: 0.05 s to ask for the base"
        " and unpack it, 0.1 s for eight sandboxes on two cores, 0.1 s for eight copies and their layers, one after "
        "another because each builds on the one before."
    ),
    "W7 cold pull": (
        "where the copy goes depends on the names in the base, and no registry tells them. So 125 MB are fetched and "
        "277 MB inflated and hashed (on a thread beside), and 14,200 entries read: 40 microseconds each in Python, and "
        "0.28 s for the digests of their bytes; 1.0 s of 1.3. Nothing is laid down."
    ),
    "W7 push": (
        "Python: starting it and importing 235 modules takes 0.09 of 0.11 s (326 million instructions in all). After "
        "the first round every tool mounts all blobs, and that takes 32 ms."
    ),
    "W9 cold": (
        "Python: starting it and importing 379 modules takes 0.13 of 0.2 s. Some fifty syncs of a store that is made, "
        "a base that is fetched and an image that is named take 15 ms, which the peers do without."
    ),
}
