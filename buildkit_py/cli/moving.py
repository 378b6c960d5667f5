"""What the commands that move images have in common: how far they are, and what they did."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING, Any

from buildkit_py.cli.parser import Group, Parser
from buildkit_py.cli.shell import Shell

if TYPE_CHECKING:
    from buildkit_py.oci import Descriptor
    from buildkit_py.platform import Platform
    from buildkit_py.transfer.copy import CopyReport, Watch
    from buildkit_py.transfer.destination import Outcome
    from buildkit_py.transfer.ends import Ends
    from buildkit_py.transfer.place import Place
    from buildkit_py.transfer.plan import Wishes

_PAUSE = 0.2
_WORDS = {"existing": "there before", "mounted": "mounted", "copied": "copied"}


def add_platforms(parser: Parser | Group) -> None:
    """The options that choose among the platforms of an image."""
    parser.add_argument("--all", action="store_true", help="take all platforms (default: this machine's alone)")
    parser.add_argument("--platform", metavar="P", help="take this platform, as linux/arm64")


def platform_of(text: str | None, *, every: bool = False) -> Platform | None:
    """The platform that an option names; raises `UsageError`."""
    from buildkit_py.errors import UsageError
    from buildkit_py.platform import Platform

    if text and every:
        raise UsageError("--all takes all platforms, and --platform one", hint="leave one of them out")
    return Platform.parse(text) if text else None


def move(
    shell: Shell,
    ends: Ends,
    source: Place,
    target: Place,
    wishes: Wishes,
    *,
    quiet: bool = False,
    signatures: bool = False,
) -> CopyReport:
    """Copy one image, with its `signatures` or without, and tell on standard error how far it is and what was chosen.

    Raises `UsageError` for signatures that can't come along.
    """
    if signatures:
        _check_signatures(source, target, wishes)
    from buildkit_py.transfer.copy import copy

    opened, lines = ends.source(source), Lines(shell, quiet=quiet)
    with lines, ends.destination(target, opened) as destination:
        report = copy(
            opened.reader,
            destination,
            wishes,
            called=str(target),
            retry=ends.client.retry,
            watch=lines.watch(),
            admit=lambda plan: ends.admit(source, plan),
            carry=lambda root: ends.carry(source, target, root) if signatures else (),
        )
    if signatures and not report.signatures:
        shell.complain(f"note: {source} has no signatures\n")
    tell(shell, report, quiet=quiet)
    if not quiet and target.kind in ("oci", "oci-archive") and ".docker." in report.media_type:
        shell.complain(
            "note: the image has Docker's format, which few tools look for in a layout; --format oci changes it\n"
        )
    return report


def _check_signatures(source: Place, target: Place, wishes: Wishes) -> None:
    from buildkit_py.errors import UsageError

    if source.kind != "docker" or target.kind != "docker":
        raise UsageError(
            "signatures are kept in registries alone",
            hint="leave --signatures out, or copy from docker:// to docker://",
        )
    if wishes.format is not None or wishes.compress is not None:
        raise UsageError(
            "a signature holds for the digest that was signed", hint="leave --format and --compress out, or sign anew"
        )


def tell(shell: Shell, report: CopyReport, *, quiet: bool) -> None:
    """The notes that belong to a copy. That a name was taken from another image is never kept back."""
    if len(report.offered) > 1 and not quiet:
        shell.complain(
            f"note: {report.source} is for {', '.join(report.offered)}; {report.chosen} was taken, --all takes all\n"
        )
    if report.replaced is not None:
        shell.complain(f"note: replaced {report.destination} (was {report.replaced})\n")


def summary(report: CopyReport) -> str:
    """One line about a copy."""
    from buildkit_py.progress.text import count, size

    parts = [f"{count(len(report.copied), 'blob')} copied ({size(report.bytes)})"]
    if report.mounted:
        parts.append(f"{len(report.mounted)} mounted from other repositories")
    parts.append(f"{len(report.existing)} there before")
    parts += [f"with {count(len(report.signatures), 'signature')}"] if report.signatures else []
    same = report.source.removeprefix("docker://") == report.destination
    where = "into the store" if same else f"to {report.destination}"
    return f"copied {report.source} {where}: {', '.join(parts)}"


def as_plain(report: CopyReport) -> dict[str, Any]:
    """A report as JSON."""
    names = (
        *("source", "destination", "digest", "media_type", "copied", "mounted", "existing", "bytes"),
        *("manifests", "converted", "replaced", "signatures"),
    )
    return {**{name: getattr(report, name) for name in names}, "platform": report.chosen}


class Lines:
    """Tells of each blob that is there in a line, and on a terminal in between how many bytes are."""

    def __init__(self, shell: Shell, *, quiet: bool) -> None:
        self._shell = shell
        self._quiet = quiet
        self._live = not quiet and shell.err.isatty()
        self._lock = Lock()
        self._sizes: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._told = 0.0
        self._shown = False

    def watch(self) -> Watch:
        """What a copy tells these lines."""
        from buildkit_py.transfer.copy import Watch

        return Watch(planned=self._planned, progress=self._progress, ended=self._ended)

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._clear()

    def _planned(self, items: list[Descriptor]) -> None:
        self._sizes = {str(item.digest): item.size for item in items}

    def _progress(self, item: Descriptor, done: int) -> None:
        if not self._live:
            return
        with self._lock:
            self._done[str(item.digest)] = done
            if time.monotonic() - self._told > _PAUSE:
                self._told = time.monotonic()
                self._show()

    def _ended(self, item: Descriptor, outcome: Outcome) -> None:
        from buildkit_py.progress.text import short_digest, size

        if self._quiet:
            return
        with self._lock:
            self._clear()
            # A layer that was compressed otherwise was counted under the digest that it had before.
            if str(item.digest) in self._sizes:
                self._done[str(item.digest)] = item.size
            self._shell.complain(f"{_WORDS[outcome]:12}  {short_digest(str(item.digest))}  {size(item.size)}\n")

    def _show(self) -> None:
        from buildkit_py.progress.text import size

        self._clear()
        self._shown = True
        self._shell.complain(f"{size(sum(self._done.values()))} of {size(sum(self._sizes.values()))}")

    def _clear(self) -> None:
        if self._shown:
            self._shown = False
            self._shell.complain("\r\x1b[K")
