"""Wrong inputs made of right ones: fields of JSON exchanged, words of a text moved, headers of a tar rewritten."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any, Literal

import zstandard

Form = Literal["bytes", "text", "json", "tar"]
Change = Callable[[bytes, Sequence[bytes], Random], bytes]
MAX_BYTES = 1 << 16


def mutated(data: bytes, form: Form, seeds: Sequence[bytes], random: Random) -> bytes:
    """One to four changes of an input, some of its bare bytes whatever its form is."""
    for _ in range(random.randint(1, 4)):
        change = _of_bytes if random.random() < 0.15 else _CHANGES[form]
        data = change(data, seeds, random)[:MAX_BYTES]
    return data


# --- bytes

_NUMBERS = (
    *(b"\0", b"\xff", b"\x7f", b"\x80", b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"),
    *(b"\0" * 8, b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\xff" * 7 + b"\x7f", b"\0" * 512),
)


def _of_bytes(data: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    at = random.randint(0, len(data))
    length = random.choice((0, 1, 1, 2, 4, 8, 64))
    piece = data[at : at + length]
    what = random.randrange(6)
    if what == 0:
        new = b""
    elif what == 1:
        new = bytes((random.randrange(256),))
    elif what == 2:
        new = random.choice(_NUMBERS)
        length = random.choice((0, len(new)))
    elif what == 3:
        new = piece * random.choice((2, 3, 100))
    elif what == 4 and piece:
        new = bytes((piece[0] ^ 1 << random.randrange(8),)) + piece[1:]
    else:
        other = random.choice(seeds)
        start = random.randint(0, len(other))
        new = other[start : start + random.choice((4, 16, 64, 1024))]
    return data[:at] + new + data[at + length :]


# --- text

_TOKEN = re.compile(rb"\w+|\s+|[^\w\s]")
_ODD_WORDS = (
    *(b"\0", b"\x1b[31m", b"\x1b]0;", b"\r", b"\xff", b"\t", b"\n", b"\n\n", b" ", b"\\\n", b"\\", b"`", b"#", b"!"),
    *(b"${", b"$", b"}", b"{", b"[", b"]", b"(", b"*", b"**/", b"?", b'"', b"'", b'"""', b"<<E", b"=", b":", b"@"),
    *(b"-1", b"0", b"0x" + b"f" * 5000, b"9" * 5000, b"1e999", b"nan", b"18446744073709551616", b"../", b"/", b"//"),
    *("\u2028".encode(), "\x85".encode(), "é".encode(), "\u0661".encode(), "\U0001f600".encode(), b"\xef\xbb\xbf"),
    *(b"x" * 300, b"a" * 5000, b" " * 5000, b"(" * 1000, b"[" * 2000, b"{" * 2000, b"\xed\xa0\x80"),
)


def _of_text(data: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    tokens = _TOKEN.findall(data) or [b""]
    at = random.randrange(len(tokens))
    end = at + random.choice((0, 1, 1, 1, 2, 5, 20))
    piece = tokens[at:end]
    others = _TOKEN.findall(random.choice(seeds)) or [b""]
    start = random.randrange(len(others))
    what = random.randrange(6)
    if what == 0:
        piece = []
    elif what == 1:
        piece = piece * 2
    elif what == 2:
        piece = [others[start]]
    elif what == 3:
        piece = [random.choice(_ODD_WORDS)]
    elif what == 4:
        piece = tokens[at : at + 3] * random.choice((3, 30, 1000))
    else:
        piece = others[start : start + random.choice((3, 10, 40))]
    return b"".join((*tokens[:at], *piece, *tokens[end:]))


# --- JSON


class _Pairs(list[Any]):
    """The names and values of an object, in which one name may stand twice."""


class _Raw(str):
    """JSON as it is to be written."""

    __slots__ = ()


_ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 2**31, 2**63, 2**64, 1.5, "", "\0", "\ud800", "\x1b[31m", "\r", "x" * 300),
    *("a\nb", "..", "/", "é", "sha256:", "sha256:" + "0" * 64, [], _Pairs(), [[]], [None], _Pairs([("", None)])),
    *(_Raw("1.0"), _Raw("-0"), _Raw("1e999"), _Raw("NaN"), _Raw("-Infinity"), _Raw("9" * 400), _Raw("9" * 5000)),
    *(_Raw("[" * 500 + "]" * 500), _Raw('{"a":' * 900 + "0" + "}" * 900), _Raw("[" * 20000), _Raw('"\\udc80"')),
)


def _of_json(data: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    root, other = _parsed(data), _parsed(random.choice(seeds))
    if root is None:
        return _of_text(data, seeds, random)
    try:
        _JSON[random.randrange(len(_JSON))](random.choice(list(_slots(root))), other or [0], random)
        return _written(root[0]).encode("utf-8", "surrogateescape")
    except RecursionError:
        return _of_text(data, seeds, random)


def _parsed(data: bytes) -> list[Any] | None:
    try:
        return [json.loads(data, object_pairs_hook=_Pairs)]
    except (ValueError, RecursionError):
        return None


Slot = tuple[list[Any], int]
"""A list, or the pairs of an object, and the place of one item in it."""


def _slots(root: list[Any]) -> Iterator[Slot]:
    waiting: list[list[Any]] = [root]
    while waiting:
        holder = waiting.pop()
        for place, item in enumerate(holder):
            yield holder, place
            value = item[1] if isinstance(holder, _Pairs) else item
            if isinstance(value, list):
                waiting.append(value)


def _value(slot: Slot) -> Any:
    holder, place = slot
    return holder[place][1] if isinstance(holder, _Pairs) else holder[place]


def _put(slot: Slot, value: Any) -> None:
    holder, place = slot
    holder[place] = (holder[place][0], value) if isinstance(holder, _Pairs) else value


def _odd_value(slot: Slot, other: list[Any], random: Random) -> None:
    _put(slot, random.choice(_ODD_VALUES))


def _graft(slot: Slot, other: list[Any], random: Random) -> None:
    _put(slot, _value(random.choice(list(_slots(other)))))


def _wrap(slot: Slot, other: list[Any], random: Random) -> None:
    _put(slot, random.choice(([_value(slot)], _Pairs([("a", _value(slot))]), [_value(slot)] * 300)))


def _drop(slot: Slot, other: list[Any], random: Random) -> None:
    holder, place = slot
    if isinstance(holder, _Pairs) or len(holder) > 1:
        del holder[place]


def _twice(slot: Slot, other: list[Any], random: Random) -> None:
    """One name or item twice, the second time with another value."""
    holder, place = slot
    value = random.choice((_value(slot), random.choice(_ODD_VALUES)))
    holder.insert(place + random.randrange(2), (holder[place][0], value) if isinstance(holder, _Pairs) else value)


def _rename(slot: Slot, other: list[Any], random: Random) -> None:
    holder, place = slot
    if isinstance(holder, _Pairs):
        name, value = holder[place]
        odd = ("", name.upper(), name.capitalize(), f"{name}\0", "\x1b[31m", "\ud800", "x" * 300, "mediaType", "digest")
        holder[place] = (random.choice(odd), value)


def _edit(slot: Slot, other: list[Any], random: Random) -> None:
    """A text of it as other text."""
    value = _value(slot)
    if isinstance(value, str) and not isinstance(value, _Raw):
        data = value.encode("utf-8", "surrogatepass")
        _put(slot, _of_text(data, [data], random).decode("utf-8", "surrogateescape"))


_JSON = (_odd_value, _odd_value, _graft, _wrap, _drop, _twice, _rename, _edit)


def _written(value: Any) -> str:
    if isinstance(value, _Pairs):
        return "{" + ",".join(f"{json.dumps(name)}:{_written(each)}" for name, each in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    return str(value) if isinstance(value, _Raw) else json.dumps(value)


# --- tar

_BLOCK = 512
_FIELDS = (
    *((0, 100), (100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8)),
    *((329, 8), (337, 8), (345, 155)),
)
_ODD_FIELDS = (
    *(b"", b"\xff" * 12, b"\x80" + b"\0" * 10 + b"\1", b"-1", b"7" * 11, b"  1", b"9", b"\0", b"00000000000", b"/"),
    *(b"..", b"../x", b"a/../../x", b".", b"./", b".wh.a", b".wh..wh..opq", b".wh.", b".wh...", b"dir/.wh.f", b"dir"),
    *(b"link/x", b"link", b"f", b"/f", b"x" * 100, b"a/" * 50, b"\xff", b"a\nb", b"1", b"2", b"3", b"5", b"6", b"7"),
    *(b"x", b"g", b"L", b"K", b"S", b"X", b"V", b"ustar  \0", b"ustar\x0000"),
)
_COMPRESSED: tuple[Callable[[bytes], bytes], ...] = (
    gzip.compress,
    bz2.compress,
    lzma.compress,
    zstandard.ZstdCompressor().compress,
)


def _of_tar(data: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    if random.random() < 0.05:
        return random.choice(_COMPRESSED)(data)
    blocks = [data[at : at + _BLOCK] for at in range(0, len(data), _BLOCK)] or [bytes(_BLOCK)]
    heads = [place for place, block in enumerate(blocks) if block[257:262] == b"ustar"]
    what = random.randrange(5)
    if heads and what < 3:
        place = random.choice(heads)
        blocks[place] = _header(blocks[place], random)
    elif what == 3:
        other = random.choice(seeds)
        start = random.randrange(0, len(other) + 1, _BLOCK)
        place = random.randrange(len(blocks))
        blocks[place : place + random.randrange(3)] = [other[start : start + _BLOCK * random.choice((1, 2, 4))]]
    else:
        place = random.randrange(len(blocks))
        blocks[place] = _of_text(blocks[place], seeds, random)
        blocks[place] += bytes(-len(blocks[place]) % _BLOCK)
    return b"".join(blocks)


def _header(block: bytes, random: Random) -> bytes:
    """A header with another field and a checksum that is right for it."""
    start, length = random.choice(_FIELDS)
    value = random.choice(_ODD_FIELDS)[:length].ljust(length, b"\0")
    block = (block[:start] + value + block[start + length :]).ljust(_BLOCK, b"\0")
    total = sum(block) - sum(block[148:156]) + 8 * 0x20
    return block[:148] + b"%06o\0 " % (total & 0o777777) + block[156:]


_CHANGES: dict[Form, Change] = {"bytes": _of_bytes, "text": _of_text, "json": _of_json, "tar": _of_tar}
