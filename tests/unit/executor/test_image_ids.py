"""Content ids of images."""

from __future__ import annotations

from buildkit_py import canonical
from buildkit_py.layer.stored import image_content_ids


def test_an_image_is_named_by_its_layers_and_all_below_them() -> None:
    one, two = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    assert image_content_ids([]) == []
    assert image_content_ids([one, two]) == [
        str(canonical.digest({"image": [one]})),
        str(canonical.digest({"image": [one, two]})),
    ]
    assert image_content_ids([two])[0] != image_content_ids([one, two])[1]
