from __future__ import annotations

from pathlib import Path

import pytest

from buildkit_py.errors import SourceInputError, UsageError
from buildkit_py.transfer.sync import jobs_of, read_file
from tests.support.transfers import IMAGE, Pair, hold


def entries(tmp_path: Path, text: str):  # type: ignore[no-untyped-def]
    (tmp_path / "sync.toml").write_text(text)
    return read_file(tmp_path / "sync.toml")


def test_entries(tmp_path: Path) -> None:
    first, second = entries(
        tmp_path,
        """
        [[sync]]
        from = "docker://python"
        to = "a.example/mirror/python"
        tags = ["3.12", "3.1?"]
        [[sync]]
        from = "a.example/app:1"
        to = "oci:images"
        platform = "arm64"
        """,
    )
    assert (first.source.name, first.tags, str(first.platform)) == (
        "docker.io/library/python",
        ("3.12", "3.1?"),
        "None",
    )
    assert (second.tags, str(second.platform)) == (("1",), "linux/arm64")
    assert second.target.path == tmp_path / "images"


def test_jobs(pair: Pair, tmp_path: Path) -> None:
    for tag in ("1.0", "1.1", "2.0", "latest"):
        hold(pair.source, IMAGE, tag=tag)
    text = f'[[sync]]\nfrom = "{pair.source.name}/team/app"\nto = "{pair.target.name}/m/app"\n'

    def targets(more: str = "") -> list[str]:
        (entry,) = entries(tmp_path, text + more)
        return [str(job.target).rpartition("/m/")[2] for job in jobs_of(entry, pair.client)]

    assert targets() == ["app:v1", "app:1.0", "app:1.1", "app:2.0", "app:latest"]
    assert targets('tags = ["1.*", "missing"]') == ["app:1.0", "app:1.1", "app:missing"]
    pair.source.requests.clear()
    assert targets('tags = ["2.0"]') == ["app:2.0"]
    assert not pair.source.requests


def test_a_layout_gets_full_names(pair: Pair, tmp_path: Path) -> None:
    (entry,) = entries(tmp_path, f'[[sync]]\nfrom = "{pair.source.name}/team/app:v1"\nto = "oci:images"')
    (job,) = jobs_of(entry, pair.client)
    assert job.target.name == f"{pair.source.name}/team/app:v1"
    assert job.target.path == tmp_path / "images"
    assert job.wishes.every


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", "says nothing to sync"),
        ("", "says nothing to sync"),
        ("sync = 1", "says nothing to sync"),
        ("[[sync]]\nto = 'a'", 'table 1 needs from = "…"'),
        ("[[sync]]\nfrom = 'a'", 'table 1 needs to = "…"'),
        ("[[sync]]\nfrom = 'a'\nto = 'b.example/a'\ntag = 'x'", "unknown setting 'tag'"),
        ("[[sync]]\nfrom = 'a'\nto = 'b.example/a'\ntags = 'x'", "tags must be a list"),
        ("[[sync]]\nfrom = 'a:1'\nto = 'b.example/a'\ntags = ['x']", "tags stand in `from` and in `tags`"),
        ("[[sync]]\nfrom = 'a'\nto = 'b.example/a:1'", "its tags are those of the source"),
        ("[[sync]]\nfrom = 'a'\nto = 'oci:x:y'", "its tags are those of the source"),
        ("[[sync]]\nfrom = 'a@sha256:" + "0" * 64 + "'\nto = 'b.example/a'", "has no digest"),
        ("[[sync]]\nfrom = 'a'\nto = 'b.example/a'\nplatform = 'vax'", "not a platform"),
        ("[[sync", "is not TOML"),
        ("sync = " + "[" * 100_000, "is not TOML"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        entries(tmp_path, text)
    assert said in caught.value.message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceInputError):
        read_file(tmp_path / "none.toml")
