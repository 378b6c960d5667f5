"""Keeping repositories beside others: a TOML file says what comes from where, and what is there already is not moved.

[[sync]]
from = "docker.io/library/python"       # a repository, or one image of it with its tag
to = "registry.example/mirror/python"   # a repository, or oci:DIR
tags = ["3.12", "3.1?-slim"]            # names and patterns; all tags where there are none
platform = "linux/amd64"                # only this platform; every one without it
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from buildkit_py.dataclass import dataclass, replace
from buildkit_py.errors import RegistryError, SourceInputError, UsageError
from buildkit_py.image.layout import listed
from buildkit_py.image.staging import translated
from buildkit_py.oci.descriptor import REF_NAME
from buildkit_py.platform import Platform
from buildkit_py.reference import Reference
from buildkit_py.registry.client import RegistryClient
from buildkit_py.transfer.ends import Ends
from buildkit_py.transfer.place import Place
from buildkit_py.transfer.plan import Wishes, read_plan

_KEYS = ("from", "to", "tags", "platform")
_PATTERN = frozenset("*?[")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One table of the file. `source` is a repository; `tags` are names and patterns, all tags where it is empty."""

    source: Reference
    target: Place
    tags: tuple[str, ...]
    platform: Platform | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One image that is to be at its destination."""

    source: Place
    target: Place
    wishes: Wishes


def read_file(path: Path) -> tuple[Entry, ...]:
    """The tables of a file; raises `SourceInputError` where it can't be read, `UsageError` that names what is wrong."""
    import tomllib

    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SourceInputError(f"can't read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not TOML: it is no text") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from None
    tables = plain.get("sync")
    if set(plain) - {"sync"} or not isinstance(tables, list) or not tables:
        raise UsageError(f"{path} says nothing to sync", hint='write a table [[sync]] with `from = "…"` and `to = "…"`')
    return tuple(_entry(table, f"{path}: table {number}", path.parent) for number, table in enumerate(tables, 1))


def _entry(table: Any, where: str, directory: Path) -> Entry:
    if not isinstance(table, dict):
        raise UsageError(f"{where} is no table", hint="write it as [[sync]]")
    for key in table:
        if key not in _KEYS:
            raise UsageError(f"{where}: unknown setting {key!r}", hint=f"the settings are {', '.join(_KEYS)}")
    source = _text(table, "from", where).removeprefix("docker://")
    reference = Reference.parse(source)
    tags = table.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) and tag for tag in tags):
        raise UsageError(f"{where}: tags must be a list of texts", hint='as tags = ["1.0", "2.*"]')
    if reference.digest is not None:
        raise UsageError(f"{where}: a repository has no digest: {source!r}", hint="`pybuild copy` copies one image")
    if ":" in source.rpartition("/")[2]:
        if tags:
            raise UsageError(f"{where}: tags stand in `from` and in `tags`", hint="leave one of them out")
        tags = [reference.tag]
    platform = Platform.parse(_text(table, "platform", where)) if "platform" in table else None
    target = _target(_text(table, "to", where), where, directory)
    return Entry(source=reference, target=target, tags=tuple(tags), platform=platform)


def _text(table: Mapping[str, Any], key: str, where: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise UsageError(f'{where} needs {key} = "…"')
    return value


def _target(text: str, where: str, directory: Path) -> Place:
    place = Place.parse(text, directory) if text.startswith("oci:") else Place.in_registry(text)
    named = place.name is not None or (place.reference is not None and ":" in text.rpartition("/")[2])
    if named or (place.reference is not None and place.reference.digest is not None):
        raise UsageError(f"{where}: `to` is a repository, its tags are those of the source: {text!r}")
    return place


def jobs_of(entry: Entry, client: RegistryClient) -> Iterator[Job]:
    """The images of an entry; its repository is asked for its tags only where it must be. Raises `RegistryError`."""
    tags: Sequence[str] = entry.tags
    if not tags or any(_PATTERN & set(tag) for tag in tags):
        there = client.tags(entry.source)
        tags = [tag for tag in there if not tags or any(fnmatchcase(tag, pattern) for pattern in tags)]
        # A name that is no pattern is wanted even where it is not listed, so that it is missed.
        tags += [tag for tag in entry.tags if not _PATTERN & set(tag) and tag not in tags]
    for tag in tags:
        reference = replace(entry.source, tag=tag)
        source = Place(text=f"docker://{reference}", kind="docker", reference=reference)
        wishes = Wishes(every=entry.platform is None, platform=entry.platform)
        yield Job(source=source, target=_tagged(entry.target, reference, tag), wishes=wishes)


def _tagged(target: Place, source: Reference, tag: str) -> Place:
    if target.reference is None:
        return replace(target, text=f"{target.text}:{source}", name=str(source))
    reference = replace(target.reference, tag=tag)
    return replace(target, text=f"docker://{reference}", reference=reference)


def is_there(job: Job, ends: Ends) -> bool:
    """Whether the destination has the image as the source has it now; layers are asked for by nobody.

    Raises what the source raises, and what the destination raises but for an image that is not there.
    """
    there = _digest_there(job.target, ends.client)
    if there is None:
        return False
    if job.wishes.platform is None:
        assert job.source.reference is not None
        return there == str(ends.client.resolve(job.source.reference).digest)
    return there == str(read_plan(ends.source(job.source).reader, job.wishes).root.descriptor.digest)


def _asked(ref: Reference, client: RegistryClient) -> str:
    """What a reference means in its registry itself, which is where a copy goes to."""
    repository = client.repository(client.config.origin(ref.registry), ref.repository)
    found = repository.head(str(ref.tag)) or repository.document(str(ref.tag))[1]
    return str(found.digest)


def _digest_there(target: Place, client: RegistryClient) -> str | None:
    if target.reference is not None:
        try:
            return _asked(target.reference, client)
        except RegistryError as error:
            if error.status == 404:
                return None
            raise
    assert target.path is not None
    with translated(target.path):
        rows = listed(target.path) if target.path.exists() else []
    found = (row["digest"] for row in rows if (row.get("annotations") or {}).get(REF_NAME) == target.name)
    return next(found, None)
