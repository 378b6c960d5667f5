"""What can go wrong with a registry, in plain words: statuses and broken connections become `RegistryError`s.

What a registry sends is shown, but never trusted: cut short, without control characters, without query strings of URLs
(they carry signatures) and without any secret that was sent to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from buildkit_py.errors import RegistryError

_READ = 16
"""How many times as much text is looked at as is shown: most of it may be a query."""
RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_NO_REGISTRY = "there seems to be no registry at this address; check the host and the port, then the name"
_QUERY = re.compile(r"(https?://[^\s\"'?]*)\?[^\s\"']*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


class TransferError(RegistryError):
    """A `RegistryError` that knows whether trying again may help, and after how many seconds at the least."""

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        status: int | None = None,
        retry: bool = False,
        after: float | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, status=status)
        self.retry = retry
        self.after = after
        self.code = code


def plain_text(text: str, secrets: Iterable[str] = (), limit: int = 300) -> str:
    """Text of a registry, fit for a terminal and a log."""
    for secret in sorted((item for item in secrets if item), key=len, reverse=True):
        text = text.replace(secret, "***")
    # Looking for addresses takes the square of the text's length.
    text = text[: _READ * limit]
    return _CONTROL.sub(" ", _QUERY.sub(r"\1", text)).strip()[:limit]


def status_fault(
    what: str, host: str, status: int, body: bytes, *, after: float | None = None, secrets: Iterable[str] = ()
) -> TransferError:
    """The error for an answer that is not a success, or not the one that was due. `what` says what was asked for,
    `host` of whom."""
    if status < 300 and is_page(body):
        return page_fault(what, host, status)
    code, words = said(body)
    shown = plain_text(words, secrets)
    unknown = ", which no registry does here" if status < 300 else ""
    message = f"{what}: {host} answered {status}{unknown}" + (f": {shown}" if shown else "")
    return TransferError(
        message,
        hint=_NO_REGISTRY if unknown or (status == 404 and is_page(body)) else _hint(host, status, code, words),
        status=status,
        retry=status in RETRIED_STATUSES,
        after=after,
        code=code,
    )


def is_page(body: bytes) -> bool:
    """Whether this is a web page, as no registry answers with. Of types one can't tell: some call JSON text/html."""
    return body.lstrip()[:1] == b"<"


def page_fault(what: str, host: str, status: int) -> TransferError:
    """The error for a server of web pages where a registry should be."""
    return TransferError(f"{what}: {host} answered with a web page", hint=_NO_REGISTRY, status=status)


def unreached(host: str, error: OSError, *, seconds: float, server: str = "registry") -> TransferError:
    """The error for a host to which no connection was made, within `seconds` where that is what ended it."""
    from socket import EAI_AGAIN, gaierror

    if isinstance(error, gaierror):
        # "Temporary failure …" may go away; that nobody is called so does not.
        hint = "check the name, the network and the DNS"
        return TransferError(f"no address is known for {host}", hint=hint, retry=error.errno == EAI_AGAIN)
    if isinstance(error, TimeoutError) and error.errno is None:
        return TransferError(f"{host} does not answer within {seconds:.0f} s", retry=True)
    reason = (error.strerror or "no connection").lower()
    hint = f"is the {server} running, and is this its port?"
    return TransferError(f"can't connect to {host}: {reason}", hint=hint, retry=True)


def said(body: bytes) -> tuple[str | None, str]:
    """The code and the words of an error body: the distribution specification's JSON, or plain text."""
    text = body.decode("utf-8", "replace")
    try:
        errors = json.loads(text)["errors"]
        first = errors[0]
        return str(first.get("code", "")), "; ".join(_one(error) for error in errors[:3])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return None, "" if text.lstrip().startswith("<") else text


def _one(error: dict[str, Any]) -> str:
    code, message = str(error.get("code", "")), str(error.get("message", ""))
    return f"{message} ({code})" if message and code else message or code


def _hint(host: str, status: int, code: str | None, words: str) -> str | None:
    if "HTTP request to an HTTPS server" in words:
        return f'this registry speaks TLS: take plain_http = true out of [registry."{host}"]'
    if status == 401:
        return f"log in: `pybuild login {host}`"
    if status == 403:
        return "these credentials may not do that; check the name, or log in as someone who may"
    if status == 404 and code == "MANIFEST_UNKNOWN":
        return "no such repository, or no such tag or digest in it; private ones look absent without a login"
    if status == 404:
        return "check the name and the tag; private repositories also look absent without a login"
    if status == 429:
        return "the registry limits how often it may be asked; log in, use a mirror, or try again later"
    return None


def login_fault(what: str, host: str, reason: str = "") -> TransferError:
    """The error for a registry that wants credentials where there are none, or not the right ones."""
    message = f"{what}: {host} refused access" + (f": {reason}" if reason else "")
    return TransferError(message, hint=_hint(host, 401, None, ""), status=401)
