"""Ports of EXPOSE: `[[ADDRESS:]HOST:]PORT[-PORT][/PROTOCOL]`. Who runs an image chooses addresses and the host's ports;
they are checked here and then forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterable

from buildkit_py.dataclass import dataclass
from buildkit_py.source import Span
from frontends.dockerfile.faults import fault

_PROTOCOLS = ("tcp", "udp", "sctp")
_NUMBER = re.compile(r"\+?[0-9]{1,19}\Z")
_LAST = 65535
_FORM = "write a port as 80, 80/udp or 8000-8010/tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """`ports` are `PORT/PROTOCOL`, ranges taken apart, in the order of the words."""

    ports: tuple[str, ...]


def read_ports(words: Iterable[str], span: Span) -> Ports:
    """The ports that expanded words name; raises `SourceError` at `span`."""
    return Ports(ports=tuple(port for word in words for port in _ports(word, span)))


def _ports(word: str, span: Span) -> list[str]:
    before, _, last = word.rpartition(":")
    address, _, host = before.rpartition(":")
    numbers, _, protocol = last.partition("/")
    if (protocol.lower() or "tcp") not in _PROTOCOLS:
        raise fault(f"{protocol} is no protocol of a port: {word}", span, hint="write tcp, udp or sctp")
    if address and not _is_address(address):
        raise fault(f"{address} is no IP address: {word}", span, hint=_FORM)
    first, end = _range(numbers, word, span)
    if host:
        low, high = _range(host, word, span)
        if first < end and high - low != end - first:
            raise fault(f"{host} and {numbers} are not as many ports: {word}", span, hint=f"write {numbers} alone")
    return [f"{number}/{protocol.lower() or 'tcp'}" for number in range(first, end + 1)]


def _is_address(text: str) -> bool:
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    from ipaddress import ip_address  # slow to import, and addresses are rare

    try:
        return "%" not in text and ip_address(text) is not None
    except ValueError:
        return False


def _range(text: str, word: str, span: Span) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    low = _number(first, word, span)
    high = _number(last, word, span) if dash else low
    if high < low:
        raise fault(f"the range {text} goes backwards: {word}", span, hint=f"write {last}-{first}")
    return low, high


def _number(text: str, word: str, span: Span) -> int:
    if not text:
        raise fault(f"a port has no number: {word}", span, hint=_FORM)
    if not _NUMBER.match(text):
        raise fault(f"{text} is no port: {word}", span, hint=_FORM)
    if int(text) > _LAST:
        raise fault(f"the port {text} is greater than {_LAST}: {word}", span, hint=_FORM)
    return int(text)
