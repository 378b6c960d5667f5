"""What a context or a source of ADD is."""

from __future__ import annotations

import pytest

from buildkit_py.giturl import AddressError, GitUrl, http_filename, is_repository, read_address, read_repository

HUB = "https://github.com/a/b.git"


@pytest.mark.parametrize(
    "text",
    [
        "a", "/a", ".", "./git@host:a", "../x.git", ".git", "x.git", "example.org/a/b.git", "github.com/a/b", "ftp://h/a",
        "a:b", "a b@c:d", "HTTP://h/a", "@h:a", "", "git://h /a", "git+ssh://h/a.git",
    ],
)  # fmt: skip
def test_local(text: str) -> None:
    assert read_address(text).kind == "local"


@pytest.mark.parametrize(
    "text",
    [
        "https://h/", "http://h/a", "https://h/a.git/", "https://h/a.git.b", "https://h/a?b=c.git", "https://h/a#b.git",
        "https://h/a.git:#b", "https://h:port/a.git", "https://h/%zz.git", "https://h/a.git#%z", "https://github.com/a/b",
    ],
)  # fmt: skip
def test_http(text: str) -> None:
    assert read_address(text).kind == "http"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HUB, GitUrl(url=HUB)),
        ("http://h/a.git", GitUrl(url="http://h/a.git")),
        ("HTTPS://h/a.git", GitUrl(url="https://h/a.git")),
        ("https://u:p@h:8/a.git#b", GitUrl(url="https://u:p@h:8/a.git", ref="b")),
        ("https://h/a%2egit", GitUrl(url="https://h/a%2egit")),
        ("git://h/a", GitUrl(url="git://h/a")),
        ("ssh://u@h:22/a", GitUrl(url="ssh://u@h:22/a")),
        ("git://h/a b", GitUrl(url="git://h/a b")),
        ("git@h:a/b", GitUrl(url="git@h:a/b")),
        ("git@h:a/b.git#c:d", GitUrl(url="git@h:a/b.git", ref="c", subdir="d")),
        ("git@h:a?tag=t", GitUrl(url="git@h:a", ref="refs/tags/t")),
        (f"{HUB}#", GitUrl(url=HUB)),
        (f"{HUB}#v1/2", GitUrl(url=HUB, ref="v1/2")),
        (f"{HUB}#a:b/c", GitUrl(url=HUB, ref="a", subdir="b/c")),
        (f"{HUB}#:b", GitUrl(url=HUB, subdir="b")),
        (f"{HUB}#a%2Fb:/c/../../d/", GitUrl(url=HUB, ref="a/b", subdir="d")),
        (f"{HUB}?ref=a&subdir=/b", GitUrl(url=HUB, ref="a", subdir="b")),
        (f"{HUB}?ref=a&subdir=b#a:b", GitUrl(url=HUB, ref="a", subdir="b")),
        (f"{HUB}?branch=a", GitUrl(url=HUB, ref="refs/heads/a")),
        (f"{HUB}?branch=refs/heads/a#refs/heads/a", GitUrl(url=HUB, ref="refs/heads/a")),
        (f"{HUB}?tag=refs/tags/a", GitUrl(url=HUB, ref="refs/tags/a")),
        (f"{HUB}?checksum=abc", GitUrl(url=HUB, ref="abc", checksum="abc")),
        (f"{HUB}?commit=abc&tag=a", GitUrl(url=HUB, ref="refs/tags/a", checksum="abc")),
        (f"{HUB}?keep-git-dir=1&submodules=false", GitUrl(url=HUB, keep_git_dir=True, submodules=False)),
        (f"{HUB}?keep-git-dir&submodules=", GitUrl(url=HUB, keep_git_dir=True, submodules=True)),
        (f"{HUB}?mtime=commit&fetch-by-commit=true", GitUrl(url=HUB)),
        (f"{HUB}?", GitUrl(url=HUB)),
    ],
)
def test_git(text: str, expected: GitUrl) -> None:
    assert read_address(text).git == expected


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?depth=1", "depth is nothing"), ("?ref=a&ref=a", "ref is given twice"), ("?ref=", "ref has no value"),
        ("?ref", "ref has no value"), ("?keep-git-dir=yes", "neither true nor false"),
        ("?ref=a#b", "the ref is b and a"),
        ("?subdir=a#:b", "the directory is b and a"), ("?tag=a#a", "the ref is a and refs/tags/a"),
        ("?branch=a&ref=b", "the ref is b and refs/heads/a"), ("?branch=a&tag=a", "a branch and a tag"),
        ("?commit=a&checksum=b", "the commit is b and a"), ("?mtime=now", "mtime is now"),
    ],
)  # fmt: skip
def test_wrong_git(query: str, message: str) -> None:
    with pytest.raises(AddressError) as caught:
        read_address(HUB + query)
    assert message in caught.value.message and caught.value.hint


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h/a/b.tar", "b.tar"), ("https://h/a/b/?c=d#e", "b"), ("https://h/a%20b", "a b"), ("https://h", None),
        ("https://h/", None), ("https://h/?a=b", None), ("https://h/%zz", None), ("https://h/a%2Fb", "b"),
    ],
)  # fmt: skip
def test_http_filename(url: str, name: str | None) -> None:
    assert http_filename(url) == (name or "__unnamed__")


@pytest.mark.parametrize(
    "text",
    ["https://h/x.git", "http://h/x.git#a:b", "https://h/x.git?tag=1", "git@h:x", "ssh://h/x", "github.com/a/b"],
)
def test_contexts_that_are_repositories(text: str) -> None:
    assert is_repository(text)


@pytest.mark.parametrize("text", ["https://h/x.tar", "https://h/x", "dir", "https://h/x?y=.git", "-", "./git@h:x"])
def test_contexts_that_are_none(text: str) -> None:
    assert not is_repository(text)


def test_a_context_may_leave_out_the_scheme_of_one_host() -> None:
    assert read_repository("github.com/a/b#c:d") == GitUrl(url="https://github.com/a/b", ref="c", subdir="d")
    assert read_repository(f"{HUB}#c") == GitUrl(url=HUB, ref="c")
