"""Fields of `RUN --mount`."""

import pytest

from buildkit_py.errors import SourceError
from frontends.dockerfile import syntax
from frontends.dockerfile.csvline import CsvError, read_fields
from frontends.dockerfile.mounts import MountModel, read_mounts
from tests.support.dockerfile_parse import complaint, one

VALUES = {"$t": "cache", "$dir": "/d", "$no": "false", "$uid": "7"}


def expand(text: str) -> str:
    return VALUES.get(text, text)


def mount(text: str) -> MountModel:
    node = one(f"RUN --mount={text} true")
    assert isinstance(node, syntax.Run)
    (found,) = read_mounts(node, expand)
    return found


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        ("a bind is read-only", "target=/x", MountModel(kind="bind", target="/x")),
        (
            "all of a bind",
            "type=bind,from=a,source=/s,target=/x,rw",
            MountModel(kind="bind", from_="a", source="/s", target="/x", read_only=False),
        ),
        ("rw=false", "target=/x,rw=false", MountModel(kind="bind", target="/x")),
        ("ro=false", "target=/x,ro=0", MountModel(kind="bind", target="/x", read_only=False)),
        ("readwrite", "target=/x,readwrite", MountModel(kind="bind", target="/x", read_only=False)),
        ("the last of two counts", "target=/x,rw,readonly=T", MountModel(kind="bind", target="/x")),
        ("other names", "src=/s,dst=/x", MountModel(kind="bind", source="/s", target="/x")),
        ("one more", "destination=/x", MountModel(kind="bind", target="/x")),
        ("the last target counts", "target=/x,dst=/y", MountModel(kind="bind", target="/y")),
        (
            "names in any case, types too",
            "TYPE=Tmpfs,Target=/x",
            MountModel(kind="tmpfs", target="/x", read_only=False),
        ),
        ("a target may be missing", "type=bind", MountModel(kind="bind")),
        (
            "a cache is named by its target",
            "type=cache,target=/a//b/../c/",
            MountModel(kind="cache", target="/a//b/../c/", id="/a/c", read_only=False),
        ),
        (
            "all of a cache",
            "type=cache,id=i,target=/x,sharing=Locked,mode=0700,uid=1,gid=2,ro",
            MountModel(kind="cache", id="i", target="/x", sharing="locked", mode=0o700, uid=1, gid=2),
        ),
        (
            "a size",
            "type=tmpfs,target=/x,size=64m",
            MountModel(kind="tmpfs", target="/x", size=64 << 20, read_only=False),
        ),
        (
            "tmpfs takes a source, for nothing",
            "type=tmpfs,source=/s,target=/x",
            MountModel(kind="tmpfs", source="/s", target="/x", read_only=False),
        ),
        ("a secret", "type=secret,id=s", MountModel(kind="secret", id="s")),
        ("a secret by its source", "type=secret,source=s", MountModel(kind="secret", source="s", id="s")),
        ("a secret by its target", "type=secret,target=/a/s", MountModel(kind="secret", target="/a/s", id="s")),
        (
            "all of a secret",
            "type=secret,id=s,env=E,target=/x,required,mode=444,uid=3,gid=4",
            MountModel(kind="secret", id="s", env="E", target="/x", required=True, mode=0o444, uid=3, gid=4),
        ),
        ("required=false", "type=secret,id=s,required=false", MountModel(kind="secret", id="s")),
        ("an agent", "type=ssh", MountModel(kind="ssh", id="default")),
        ("an agent by name", "type=ssh,id=a,required=true", MountModel(kind="ssh", id="a", required=True)),
        (
            "variables",
            "type=$t,target=$dir,ro=$no,uid=$uid",
            MountModel(kind="cache", target="/d", id="/d", read_only=False, uid=7),
        ),
        ("an empty value is none", "from=,target=/x,id=", MountModel(kind="bind", target="/x")),
        ("from may end in a dollar", "from=a$,target=/x", MountModel(kind="bind", from_="a$", target="/x")),
    ],
)
def test_models(rule: str, text: str, expected: MountModel) -> None:
    assert mount(text) == expected, rule


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("100", 100),
        ("1k", 1024),
        ("1K", 1024),
        ("1kb", 1024),
        ("1KiB", 1024),
        ("1.5g", 3 << 29),
        ("2b", 2),
        ("1t", 1 << 40),
        (".5k", 512),
        ("1e", None),
        ("m", None),
        ("-1", None),
        ("1kk", None),
        ("", None),
        ("9" * 300, 2**63 - 1),
    ],
)
def test_sizes(text: str, size: int | None) -> None:
    if size is None:
        with pytest.raises(SourceError, match="not a size"):
            mount(f"type=tmpfs,target=/x,size={text}")
    else:
        assert mount(f"type=tmpfs,target=/x,size={text}").size == size


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("type=bnd", "a mount has no type 'bnd'", "did you mean bind?"),
        ("type=volume", "a mount has no type 'volume'", "write one of bind, cache, tmpfs, secret, ssh"),
        ("type=", "a mount has no type ''", "write one of bind, cache, tmpfs, secret, ssh"),
        ("tagret=/x", "a mount has no field tagret", "did you mean target?"),
        ("sourc", "a mount has no field sourc", "did you mean source?"),
        ("whatever", "a mount has no field whatever", "write name=value"),
        ("target=/x,", "a mount has an empty field", "write name=value"),
        ("target", "target of a mount needs a value", "write target=…"),
        ("rw=maybe", "rw of a mount is true or false, not 'maybe'", "write rw, or rw=false"),
        (
            "required",
            "a mount of type bind takes no required",
            "only a mount of a secret or ssh takes required; write type= before it",
        ),
        (
            "size=1k,type=tmpfs",
            "a mount of type bind takes no size",
            "only a mount of a tmpfs takes size; write type= before it",
        ),
        ("type=cache,sharing=lock", "sharing of a cache can't be 'lock'", "did you mean locked?"),
        ("sharing=locked", "a mount of type bind takes no sharing", "only a mount of a cache takes sharing"),
        ("mode=0644", "a mount of type bind takes no mode", "only a mount of a cache, secret or ssh takes mode"),
        ("type=tmpfs,uid=1", "a mount of type tmpfs takes no uid", "only a mount of a cache, secret or ssh takes uid"),
        ("type=cache,mode=9", "not a file mode: '9'", "write octal digits, as mode=0644"),
        ("type=cache,mode=u+x", "not a file mode: 'u+x'", "write octal digits, as mode=0644"),
        ("type=cache,mode=40000000000", "not a file mode: '40000000000'", "write octal digits, as mode=0644"),
        ("type=cache,uid=root", "uid of a mount is not a number: 'root'", "write uid=1000; names are not known"),
        ("type=cache,gid=-1", "gid of a mount is not a number: '-1'", "write gid=1000; names are not known"),
        (
            "type=cache,gid=4294967296",
            "gid of a mount is not a number: '4294967296'",
            "write gid=1000; names are not known",
        ),
        ("type=secret", "a mount of a secret does not say which", "write type=secret,id=NAME"),
        ("type=secret,id=a,source=b", "a secret has both id and source, which mean the same", "keep id="),
        (
            "type=secret,id=a,from=b",
            "a mount of type secret takes no from",
            "only a mount of a bind or cache takes from",
        ),
        (
            "type=secret,id=a,sharing=shared",
            "a mount of type secret takes no sharing",
            "only a mount of a cache takes sharing",
        ),
    ],
)
def test_faults(text: str, message: str, hint: str) -> None:
    with pytest.raises(SourceError) as caught:
        mount(text)
    (found,) = caught.value.diagnostics
    assert (found.message, found.hint) == (message, hint)
    assert found.span is not None and (found.span.line, found.span.column) == (2, 13)


def test_every_mount_is_looked_at() -> None:
    node = one("RUN --mount=type=x --mount=target=/y --mount=a=b true")
    assert isinstance(node, syntax.Run)
    with pytest.raises(SourceError) as caught:
        read_mounts(node, expand)
    assert [each.message for each in caught.value.diagnostics] == ["a mount has no type 'x'", "a mount has no field a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("RUN --mount= true", "--mount can't be read: there is nothing in it"),
        ('RUN --mount=\\"a true', "--mount can't be read: a quote is not closed"),
        ("RUN --mount=type=bind,from=$x,target=/y true", "variables are not expanded in from= of a mount"),
        ("RUN --mount=from=a${x} true", "variables are not expanded in from= of a mount"),
    ],
)
def test_what_the_parser_refuses(text: str, message: str) -> None:
    assert complaint(text) == message


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("a", ["a"]),
        ("a,b,,c,", ["a", "b", "", "c", ""]),
        ('"a,b",c', ["a,b", "c"]),
        ('"a""b"', ['a"b']),
        ('""', [""]),
        ('"",', ["", ""]),
    ],
)
def test_fields(text: str, fields: list[str]) -> None:
    assert read_fields(text) == fields


@pytest.mark.parametrize("text", ["", 'a"b', '"a', '"a"b', '"a""'])
def test_no_fields(text: str) -> None:
    with pytest.raises(CsvError):
        read_fields(text)
