"""URLs: what one holds, fetched into a blob of the store and verified on the way."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from buildkit_py.errors import IntegrityError, SourceInputError
from buildkit_py.layer.entry import EMPTY_TREE, Diff, Entry
from buildkit_py.layer.stored import http_content_id

if TYPE_CHECKING:
    from buildkit_py.executor.workshop import Workshop
    from buildkit_py.graph.op import HttpSource
    from buildkit_py.store import Store

BLOCK = 1 << 20
TIMEOUT = 60
MAX_BYTES = 64 << 30


def fetch(store: Store, url: str, expected: str | None = None) -> tuple[str, int]:
    """Fetch what a URL holds into a blob. Returns its digest and size in bytes.

    Raises `SourceInputError` where it can't be fetched, `IntegrityError` where it is not what was `expected`.
    """
    if expected is not None and store.blobs.has(expected):
        return expected, store.blobs.size(expected)
    import http.client
    import urllib.error
    import urllib.request

    if not url.lower().startswith(("http://", "https://")):
        raise SourceInputError(f"not an http or https URL: {url}")
    request = urllib.request.Request(url, headers={"User-Agent": "pybuild"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response, store.blobs.writer() as writer:
            total = 0
            while block := response.read(BLOCK):
                total += len(block)
                if total > MAX_BYTES:
                    raise SourceInputError(f"{url} holds more than {MAX_BYTES} bytes")
                writer.write(block)
            if response.length:
                raise SourceInputError(f"{url} ended {response.length} bytes too early", hint="run the build again")
            return writer.commit(expected)
    except urllib.error.HTTPError as error:
        raise SourceInputError(f"{url}: the server answered {error.code} {error.reason}") from None
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise SourceInputError(f"{url} can't be fetched: {getattr(error, 'reason', error)}") from None
    except IntegrityError as error:
        raise IntegrityError(
            f"{url} does not hold what is pinned: {error.message}",
            hint="if the new content is wanted, run `pybuild update` or write its digest",
        ) from None


def lay_out(shop: Workshop, source: HttpSource, epoch: int) -> str:
    """Bring a pinned URL's tree into the store: one file, 0644, 0:0. Returns its content id."""
    digest, size = fetch(shop.store, source.url, source.digest)
    diff = Diff.of([Entry(path=source.filename, type="file", mode=0o644, size=size, digest=digest)])
    with shop.store.snapshots.area() as area:
        path = area.fs / source.filename
        with shop.store.blobs.open(digest) as blob, path.open("xb") as file:
            shutil.copyfileobj(blob, file, BLOCK)
        path.chmod(0o644)
        os.utime(path, (epoch, epoch))
        shop.store.snapshots.commit(area, diff.digest, diff.encoded, size)
    content_id = http_content_id(source)
    shop.store.trees.put(content_id, EMPTY_TREE, diff.digest)
    return content_id
