"""Packages of languages, each described by a file of its own: Python's and Node's."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from email.parser import BytesHeaderParser
from typing import Any

from buildkit_py.dataclass import dataclass

MAX_PATH = 4096
"""No file can be reached by a longer path."""
LIMIT = 1 << 20
"""Of a longer file only the beginning is read, which is enough for Python's headers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One package as its file describes it; `kind` is the type of its purl."""

    kind: str
    name: str
    version: str
    licences: tuple[str, ...] = ()


Describe = Callable[[bytes], tuple[Described, ...]]
_PYTHON = re.compile(r"(?:^|/)[^/]+(?:\.dist-info/METADATA|\.egg-info(?:/PKG-INFO)?)\Z")
_NODE = re.compile(r"(?:^|/)node_modules/(?:@[^/]+/)?[^@/.][^/]*/package\.json\Z")
_PROGRAM = re.compile(r"(?:^|/)s?bin/[^/]+\Z")
_LICENCE_CLASSIFIER = "License :: "
_UNKNOWN = ("", "UNKNOWN", "OSI Approved")
_NODE_NAME = re.compile(r"(?:@[^/@\s]{1,213}/)?[^/@\s]{1,213}\Z")


def describer(path: str) -> Describe | None:
    """What reads the file of a path; None where it describes no package."""
    if _PYTHON.search(path):
        return python
    return node if _NODE.search(path) else None


def may_describe(path: str) -> bool:
    """Whether the file of a path may say what it consists of: by its name, or as a program."""
    return len(path) <= MAX_PATH and (describer(path) is not None or _PROGRAM.search(path) is not None)


def python(data: bytes) -> tuple[Described, ...]:
    """Core metadata (PEP 566 and later): `METADATA` of a wheel, `PKG-INFO` of an egg."""
    fields = BytesHeaderParser().parsebytes(data[:LIMIT])
    name, version = one_line(fields["Name"]), one_line(fields["Version"])
    if not name or not version:
        return ()
    classifiers = [one_line(each) for each in fields.get_all("Classifier") or ()]
    classified = [text.rpartition(" :: ")[2] for text in classifiers if text.startswith(_LICENCE_CLASSIFIER)]
    # Whole texts of licences stand there too.
    stated = str(fields["License"] or "").strip()
    stated = stated if len(stated) <= 100 and "\n" not in stated else ""
    expression = one_line(fields["License-Expression"])
    found = [expression] if expression else [text for text in (classified or [stated]) if text not in _UNKNOWN]
    return (Described(kind="pypi", name=name, version=version, licences=tuple(dict.fromkeys(found))),)


def one_line(value: object) -> str:
    """A header's value without line ends; empty where there is none."""
    return " ".join(str(value).split()) if value is not None else ""


def node(data: bytes) -> tuple[Described, ...]:
    """`package.json` of a package below `node_modules`."""
    try:
        document = json.loads(data) if len(data) <= LIMIT else None
    except (ValueError, RecursionError):
        return ()
    if not isinstance(document, dict):
        return ()
    name, version = document.get("name"), document.get("version")
    if not isinstance(name, str) or not isinstance(version, str) or not version or not _NODE_NAME.match(name):
        return ()
    licences = tuple(map(_encodable, _licences(document)))
    return (Described(kind="npm", name=_encodable(name), version=_encodable(version), licences=licences),)


def _encodable(text: str) -> str:
    """JSON can escape half a surrogate pair, which no document can hold."""
    return text.encode("utf-8", "replace").decode()


def _licences(document: dict[str, Any]) -> list[str]:
    """`license`, a text or an object of old, or the `licenses` of older packages."""
    stated = document.get("license") or document.get("licenses") or []
    found = []
    for each in stated if isinstance(stated, list) else [stated]:
        text = each.get("type") if isinstance(each, dict) else each
        if isinstance(text, str) and 0 < len(text) <= 100:
            found.append(text)
    return found
