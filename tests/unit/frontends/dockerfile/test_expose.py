"""Ports and signals."""

from __future__ import annotations

import pytest

from buildkit_py.errors import SourceError
from buildkit_py.source import Span
from frontends.dockerfile.expose import read_ports
from frontends.dockerfile.signals import is_signal

SPAN = Span("Dockerfile", 1, 1, 1, 2)


@pytest.mark.parametrize(
    ("word", "ports"),
    [
        ("80", ("80/tcp",)), ("80/", ("80/tcp",)), ("80/UDP", ("80/udp",)), ("80/sctp", ("80/sctp",)),
        ("0", ("0/tcp",)), ("65535", ("65535/tcp",)), ("007", ("7/tcp",)), ("+80", ("80/tcp",)),
        ("80-82/udp", ("80/udp", "81/udp", "82/udp")), ("80-80", ("80/tcp",)), ("90:91", ("91/tcp",)),
        (":91", ("91/tcp",)), ("127.0.0.1:90:91", ("91/tcp",)), ("127.0.0.1::91", ("91/tcp",)),
        ("[::1]:90:91/udp", ("91/udp",)), ("::1:90:91", ("91/tcp",)), ("90-91:92-93", ("92/tcp", "93/tcp")),
        ("90-99:91", ("91/tcp",)),
    ],
)  # fmt: skip
def test_ports(word: str, ports: tuple[str, ...]) -> None:
    assert read_ports([word], SPAN).ports == ports


def test_ports_in_the_order_of_words() -> None:
    assert read_ports(["90", "80-81", "90"], SPAN).ports == ("90/tcp", "80/tcp", "81/tcp", "90/tcp")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("", "has no number"), ("/tcp", "has no number"), ("80:", "has no number"), ("80-", "has no number"),
        ("-80", "has no number"), ("http", "http is no port"), ("80-8x", "8x is no port"),
        ("80-81-82", "81-82 is no port"),
        ("65536", "greater than 65535"), ("82-80", "goes backwards"), ("80/http", "http is no protocol"),
        ("80/tcp/udp", "tcp/udp is no protocol"), ("host:90:91", "host is no IP address"),
        ("[::1:90:91", "is no IP address"), ("1.2.3:90:91", "is no IP address"),
        ("fe80::1%1:90:91", "is no IP address"),
        ("x:91", "x is no port"), ("90-92:91-92", "not as many"),
        ("99999999999999999999", "is no port"),
    ],
)  # fmt: skip
def test_wrong_ports(word: str, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_ports(["80", word], SPAN)
    assert message in caught.value.message and caught.value.hint and caught.value.span == SPAN


@pytest.mark.parametrize(
    "text",
    ["TERM", "SIGTERM", "sigkill", "Usr1", "9", "-1", "1000", "RTMIN", "SIGRTMIN+15", "rtmax-14", "RTMAX", "CLD"],
)
def test_signals(text: str) -> None:
    assert is_signal(text)


@pytest.mark.parametrize(
    "text",
    ["", "0", "00", "FOO", "SIG", "SIGSIGTERM", "RTMIN+16", "RTMAX-15", "RTMIN+0", "9 ", "1.5", "٣", "9" * 30, "1_0"],
)
def test_no_signals(text: str) -> None:
    assert not is_signal(text)
