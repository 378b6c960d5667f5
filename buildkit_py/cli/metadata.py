"""What a build made, in files for programs: `--metadata-file` and `--iidfile`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from buildkit_py.cli.files import replace_file
from buildkit_py.errors import OutputError, UsageError

if TYPE_CHECKING:
    from buildkit_py.engine import BuildOptions, BuildResult


def write_down(result: BuildResult, options: BuildOptions, *, metadata: str | None, iid: str | None) -> None:
    """Write the files that were asked for; raises `OutputError`."""
    if metadata:
        import json

        replace_file(metadata, json.dumps(metadata_of(result, options), indent=2) + "\n")
    if iid:
        if len(result.digests) != 1:
            raise OutputError(
                f"--iidfile takes the digest of one image, and {len(result.digests)} were built",
                hint="choose one with --target, or use --metadata-file",
            )
        replace_file(iid, next(iter(result.digests.values())))


def metadata_of(result: BuildResult, options: BuildOptions) -> dict[str, Any]:
    """Each image by name, with its digest and those of its platforms; of a single one what docker says as well."""
    images = {
        name: {
            "digest": digest,
            "platforms": {image.platform: image.digest for image in result.images if image.name == name},
        }
        for name, digest in result.digests.items()
    }
    return {"build": result.build, "images": images, **(_of_docker(result, options) if len(images) == 1 else {})}


def _of_docker(result: BuildResult, options: BuildOptions) -> dict[str, Any]:
    """The keys that docker's clients write, of one image."""
    ((name, digest),) = result.digests.items()
    found: dict[str, Any] = {"containerimage.digest": digest}
    if name in result.descriptors:
        found["containerimage.descriptor"] = dict(result.descriptors[name])
    if len(result.images) == 1 and result.images[0].config:
        found["containerimage.config.digest"] = result.images[0].config
    if options.tags:
        found["image.name"] = ",".join(map(_normal, options.tags))
    return found


def _normal(tag: str) -> str:
    from buildkit_py.reference import Reference

    try:
        return str(Reference.parse(tag))
    except UsageError:
        return tag
