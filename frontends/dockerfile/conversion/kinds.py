"""What paths are: a Dockerfile's COPY takes a directory and a file by the same words, a Buildfile's `copy` does not.

Of the context the client may say what is there. Of a stage the text says something: where it works, what it writes to.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import Literal

from buildkit_py.dataclass import dataclass, field

Kind = Literal["file", "directory"]
Look = Callable[[str], frozenset[Kind]]
"""What the paths of the context are that a path or a pattern stands for; empty where nothing is there."""

_FILES = re.compile(
    r"\.(?:[ch]|cc|cpp|conf|cfg|css|csv|crt|deb|go|gz|html?|ini|jar|js|json|key|lock|mjs|md|mod|pem|php|pub|py|rb|rs|sh|so"
    r"|sql|sum|svg|tar|tgz|toml|ts|txt|war|whl|xml|ya?ml|zip|a|exe|wasm|service|env|properties|list)\Z"
)
_DIRECTORIES = re.compile(
    r"/(?:bin|boot|data|dev|etc|home|lib|lib64|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|usr|var|app|src|dist|out"
    r"|node_modules|site-packages|\.?venv|public|static|usr/local|(?:usr/(?:local/)?)?(?:bin|sbin|lib|share|include|etc)"
    r"|var/(?:lib|log|cache|run|tmp|www)|home/[^/]+)\Z"
)
_STANDARD = re.compile(
    r"/(?:bin|boot|dev|etc|home|lib|lib64|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|usr|var|usr/local"
    r"|usr/(?:local/)?(?:bin|sbin|lib|share|include|etc|src)|var/(?:lib|log|cache|run|tmp)|home/[^/]+)\Z"
)
_IN_BIN = re.compile(r"/s?bin/[^/]+\Z")


@dataclass(slots=True, kw_only=True)
class Paths:
    """What is known of a stage's tree. `empty`: it began with nothing, so what nobody made is not there."""

    directories: set[str] = field(default_factory=lambda: {"/"})
    files: set[str] = field(default_factory=set)
    empty: bool = False

    def child(self) -> Paths:
        """A copy for a stage that stands on this one."""
        return Paths(directories=set(self.directories), files=set(self.files), empty=self.empty)

    def learn(self, path: str) -> None:
        """Note a directory, and those that it is in."""
        path = posixpath.normpath(path)
        while path and path not in self.directories:
            self.directories.add(path)
            path = posixpath.dirname(path)

    def learn_file(self, path: str) -> None:
        """Note a file."""
        self.files.add(path)
        self.learn(posixpath.dirname(path))

    def is_there(self, path: str) -> bool:
        """Whether a directory is sure, or as good as sure, to be there."""
        return path in self.directories or (not self.empty and _STANDARD.match(path) is not None)

    def missing(self, path: str) -> list[str]:
        """The directories on the way to a path, itself included, that may not be there."""
        found: list[str] = []
        while path and not self.is_there(path):
            found.insert(0, path)
            path = posixpath.dirname(path)
        return found

    def kind(self, path: str) -> Kind | None:
        """What a path is, as far as the text of the file tells."""
        if path in self.files or _FILES.search(path):
            return "file"
        if path in self.directories or _DIRECTORIES.match(path):
            return "directory"
        return "file" if _IN_BIN.search(path) else None


def mentioned_paths(text: str, workdir: str) -> tuple[set[str], set[str]]:
    """The files and the directories that a step makes, as far as its text says so: `-o FILE`, `> FILE`, `mkdir DIR`."""
    files = {_from(workdir, name) for name in re.findall(r"(?:\s-o |\s--output[ =]|>)\s*([^\s;&|<>'\"$]+)", text)}
    folders: set[str] = set()
    for words in re.findall(r"\bmkdir\s+([^;&|<>'\"$]+)", text):
        folders |= {_from(workdir, word) for word in words.split() if not word.startswith("-") and not word.isdigit()}
    return {path for path in files if not path.startswith("/dev/")}, folders


def _from(workdir: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(workdir, path))
