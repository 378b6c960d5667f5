"""`pybuild diff`: what differs between two images, in configuration, layers and files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from buildkit_py.cli.parser import Command, Namespace, Parser, add_json, add_store
from buildkit_py.cli.shell import Shell
from buildkit_py.cli.subject import IMAGE

if TYPE_CHECKING:
    from buildkit_py.image.subject import Subject
    from buildkit_py.layer.entry import Entry
    from buildkit_py.layer.treediff import Difference
    from buildkit_py.oci import Descriptor
    from buildkit_py.store import Store

DIFFERENT = 1


def prepare(parser: Parser) -> None:
    """Add the arguments."""
    parser.add_argument("before", metavar="A", help=IMAGE)
    parser.add_argument("after", metavar="B", help="the image to compare it with")
    what = parser.add_argument_group("what is compared (default: all three)")
    what.add_argument("--config", action="store_true", help="configuration and annotations, which need no layer")
    what.add_argument("--layers", action="store_true", help="which layers both have, which need no layer either")
    what.add_argument("--files", action="store_true", help="files; layers that the store never looked at are read once")
    what.add_argument("--platform", metavar="P", help="of images for several, as linux/arm64 (default: this machine)")
    shown = parser.add_argument_group("what is shown")
    shown.add_argument("-a", "--all", action="store_true", help="every file and whole values; without it, some lines")
    shown.add_argument("--exit-code", action="store_true", help="end with 1 if something differs")
    add_json(shown)
    add_store(shown)


def run(args: Namespace, shell: Shell) -> int:
    """Compare, and show what differs."""
    from buildkit_py.cli.difftext import render
    from buildkit_py.cli.subject import subject_of

    wanted = [name for name in ("config", "layers", "files") if getattr(args, name)] or ["config", "layers", "files"]
    with shell.store(args.store, make=False) as store, store.lease():
        one, other = (subject_of(store, text, args.platform) for text in (args.before, args.after))
        document = _compared(store, one, other, wanted, shell)
    if args.json:
        shell.print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        shell.write(render(document, whole=args.all))
    return DIFFERENT if args.exit_code and not document["equal"] else 0


def _compared(store: Store, one: Subject, other: Subject, wanted: list[str], shell: Shell) -> dict[str, Any]:
    from buildkit_py.image.compare import compare_configs, compare_layers

    document: dict[str, Any] = {
        side: {"name": each.name, "digest": str(each.manifest.digest), "platform": each.platform}
        for side, each in (("before", one), ("after", other))
    }
    if "config" in wanted:
        document["config"] = compare_configs(one, other)
    if "layers" in wanted:
        document["layers"] = compare_layers(one, other)
    if "files" in wanted:
        document["files"] = [_plain(each) for each in _files(store, one, other, shell)]
    moved = any(row["in"] != "both" for row in document.get("layers", ()))
    document["equal"] = not (moved or document.get("config") or document.get("files"))
    return document


def _files(store: Store, one: Subject, other: Subject, shell: Shell) -> list[Difference]:
    """The files that differ. Of images with the same layers none does, and nothing is looked at."""
    from buildkit_py.cli.subject import bring
    from buildkit_py.image.compare import shared
    from buildkit_py.image.outlined import OutlinedTrees
    from buildkit_py.layer.treediff import differences
    from buildkit_py.progress.text import short_digest, size

    count = shared(one, other)
    if count == len(one.layers) == len(other.layers):
        return []

    def tell(layer: Descriptor) -> None:
        shell.complain(f"reading {short_digest(str(layer.digest))}, {size(layer.size)}\n")

    trees = OutlinedTrees(store, lambda subject, layers: bring(store, subject, layers), tell)
    uppers = [*trees.diffs(one)[count:], *trees.diffs(other)[count:]]
    return list(differences(trees.tree(one), trees.tree(other), uppers))


def _plain(difference: Difference) -> dict[str, Any]:
    return {
        "path": f"/{difference.path}",
        "change": difference.kind,
        "what": list(difference.what),
        "bytes": difference.bytes,
        "before": _entry(difference.before),
        "after": _entry(difference.after),
    }


def _entry(entry: Entry | None) -> dict[str, Any] | None:
    """A file as JSON; names that are not valid text have their odd bytes escaped (`\\udc80`), as everywhere."""
    if entry is None:
        return None
    import base64

    plain: dict[str, Any] = {
        "type": "file" if entry.type == "hardlink" else entry.type,
        "mode": f"{entry.mode:04o}",
        "owner": f"{entry.uid}:{entry.gid}",
    }
    if entry.digest is not None:
        plain |= {"size": entry.size, "digest": entry.digest}
    if entry.type == "symlink":
        plain["target"] = entry.target
    if entry.device is not None:
        plain["device"] = list(entry.device)
    if entry.xattrs:
        plain["xattrs"] = {name: base64.b64encode(value).decode() for name, value in entry.xattrs}
    return plain


DIFF = Command(
    "diff",
    usage="[options] A B",
    about=(
        "Show what differs between two images: fields of the configuration, layers, and files with what changed of\n"
        "each (type, mode, owner, content, target, device, attributes; times do not count). Nothing is unpacked."
    ),
    examples=(
        ("pybuild diff app:1 app:2", "everything, as far as it fits a screen"),
        ("pybuild diff --files --all app:1 app:2", "every file"),
        ("pybuild diff --config app:1 docker://registry.example/app:1", "with one that is not here"),
        ("pybuild diff --exit-code app:1 app:2", "in a script: 1 if they differ"),
        ("pybuild diff --json app:1 app:2", "for programs"),
    ),
    prepare=prepare,
    run=run,
)
