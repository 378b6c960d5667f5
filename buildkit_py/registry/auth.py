"""Who we are to one repository of one registry: Basic, and Bearer tokens from the realm that the registry names.

    registry ── 401, WWW-Authenticate: Bearer realm="https://…",service="…" ──▶ us
    us ── GET realm?service=…&scope=repository:name:pull, Authorization: Basic … ──▶ realm ── {"token": …} ──▶ us
    us ── Authorization: Bearer … ──▶ registry

Nothing is sent before the registry asked for it. A realm must be https, unless the registry itself is configured to
speak plain HTTP. (Docker registry v2 token authentication; OAuth2 for identity tokens.)
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from threading import Lock
from urllib.parse import urlencode, urlsplit

from buildkit_py.dataclass import dataclass, field
from buildkit_py.registry.credentials import Credential
from buildkit_py.registry.faults import TransferError, login_fault, status_fault
from buildkit_py.registry.transport import Origin, Transport

# No piece gives back what it took: blanks alone would else be tried in as many ways as the cube of their number.
_PARAMETER = re.compile(r'(?<![A-Za-z0-9_-])([A-Za-z][A-Za-z0-9_-]*+)\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)"|([^\s",]++))')
_LIMIT = 1 << 20
_USUAL_LIFE, _LONGEST_LIFE = 60, 86_400
_TOKEN = re.compile(r"[\x21-\x7e]+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A `WWW-Authenticate` header: its scheme in lower case, its parameters by lower-case name."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, header: str) -> Challenge:
        """Parse one challenge (RFC 9110, 11.6.1); parameters that make no sense are left out."""
        scheme, _, rest = header.strip().partition(" ")
        found = _PARAMETER.finditer(rest[:8192])
        values = {m[1].lower(): m[3] if m[2] is None else re.sub(r"\\(.)", r"\1", m[2]) for m in found}
        return cls(scheme=scheme.lower(), parameters=values)


class Authorizer:
    """Holds the `Authorization` value for one endpoint and one set of scopes. Thread-safe.

    `lookup` is called at most once, and only when the registry asked.
    """

    def __init__(
        self,
        transport: Transport,
        base: str,
        host: str,
        scopes: tuple[str, ...],
        lookup: Callable[[], Credential | None],
    ) -> None:
        self._transport = transport
        self._base = base
        self._host = host
        self._scopes = scopes
        self._lookup = lookup
        self._lock = Lock()
        self._credential: Credential | None = None
        self._looked_up = False
        self._value: str | None = None
        self._expires = float("inf")
        self._challenge: Challenge | None = None

    def value(self, what: str) -> str | None:
        """The header to send, None as long as nothing was asked for. A token that is about to expire is renewed."""
        with self._lock:
            if self._challenge is not None and time.monotonic() >= self._expires:
                self._value = f"Bearer {self._token(self._challenge, what)}"
            return self._value

    def secrets(self) -> tuple[str, ...]:
        """What must be kept out of messages."""
        held = self._credential.secrets if self._credential else ()
        token = (self._value or "").partition(" ")[2]
        return (*held, token) if token else held

    def answer(self, header: str, refused: str | None, what: str) -> bool:
        """Meet a challenge; `refused` is the value that was sent and not accepted.

        False where another thread had met it meanwhile: what it was given may itself have run out. Raises
        `TransferError` where there is no credential that the registry takes.
        """
        challenge = Challenge.parse(header)
        with self._lock:
            if self._value is not None and self._value != refused:
                return False
            if challenge.scheme == "bearer":
                self._challenge = challenge
                self._value = f"Bearer {self._token(challenge, what)}"
            elif challenge.scheme == "basic":
                self._value = self._basic(refused, what)
            else:
                raise TransferError(f"{what}: {self._host} asks for a login of a kind that is not known", status=401)
            return True

    def _held(self) -> Credential | None:
        if not self._looked_up:
            self._credential, self._looked_up = self._lookup(), True
        return self._credential

    def _basic(self, refused: str | None, what: str) -> str:
        credential = self._held()
        if credential is None or not credential.username or credential.basic == refused:
            raise login_fault(what, self._host)
        return credential.basic

    def _token(self, challenge: Challenge, what: str) -> str:
        credential = self._held()
        if credential is not None and credential.registry_token:
            if not _TOKEN.match(credential.registry_token):
                raise login_fault(what, self._host, "its configured token is malformed")
            return credential.registry_token
        realm = challenge.parameters.get("realm", "")
        self._check_realm(realm)
        query = [("scope", scope) for scope in self._wanted_scopes(challenge)]
        if challenge.parameters.get("service"):
            query.insert(0, ("service", challenge.parameters["service"]))
        if credential is not None and credential.identity_token:
            raw = self._refresh(realm, query, credential.identity_token, what)
        else:
            raw = self._get(realm, query, credential, what)
        return self._read(raw, Origin.of(realm).netloc)

    def _wanted_scopes(self, challenge: Challenge) -> list[str]:
        """Ours, and those that the registry names for something else than we do."""
        known = {scope.rpartition(":")[0] for scope in self._scopes}
        named = challenge.parameters.get("scope", "").split()
        return [*self._scopes, *(scope for scope in named if scope.rpartition(":")[0] not in known)]

    def _check_realm(self, realm: str) -> None:
        origin = Origin.of(realm)
        if origin.scheme != "https" and not self._base.startswith("http:"):
            raise TransferError(
                f"{self._host} sends logins to {origin.netloc} by plain HTTP, which is refused",
                hint="the registry's token realm must be an https address",
            )

    def _get(self, realm: str, query: list[tuple[str, str]], credential: Credential | None, what: str) -> bytes:
        url = f"{realm}{'&' if urlsplit(realm).query else '?'}{urlencode(query)}"
        headers = {"Authorization": credential.basic} if credential is not None else {}
        return self._ask("GET", url, headers, None, what)

    def _refresh(self, realm: str, query: list[tuple[str, str]], token: str, what: str) -> bytes:
        scopes = " ".join(value for name, value in query if name == "scope")
        form = [("grant_type", "refresh_token"), ("client_id", "pybuild"), ("refresh_token", token), ("scope", scopes)]
        form += [pair for pair in query if pair[0] == "service"]
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._ask("POST", realm, headers, urlencode(form).encode(), what)

    def _ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, what: str) -> bytes:
        with self._transport.send(method, url, headers, body) as answer:
            raw = answer.read_all(_LIMIT)
            status = answer.status
        if status == 200:
            return raw
        host = Origin.of(url).netloc
        if status in (400, 401, 403):
            raise login_fault(what, self._host, f"its token service {host} answered {status}")
        raise status_fault(f"{what}: asking for a token", host, status, raw, secrets=self.secrets())

    def _read(self, raw: bytes, host: str) -> str:
        try:
            plain = json.loads(raw) if len(raw) <= _LIMIT else {}
            token = plain.get("token") or plain.get("access_token")
            life = plain.get("expires_in")
        except (ValueError, AttributeError, RecursionError):
            token = life = None
        if not isinstance(token, str) or not _TOKEN.match(token):
            raise TransferError(f"the token service {host} sent no token")
        seconds = life if isinstance(life, int) and life > 0 else _USUAL_LIFE
        self._expires = time.monotonic() + 0.9 * min(seconds, _LONGEST_LIFE)
        return token
