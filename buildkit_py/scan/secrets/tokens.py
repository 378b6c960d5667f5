"""Tokens that can be told by their form: what an issuer documents as the beginning and the length of its tokens.

Each rule has *needles*, texts that every match begins with: searching a file for those is what a scan spends its time
on, and expressions are tried only where one was found.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Callable

from buildkit_py.dataclass import dataclass
from buildkit_py.scan.model import Severity
from buildkit_py.scan.secrets import keys
from buildkit_py.scan.secrets.values import Secret, is_example, told

Find = Callable[[bytes, int], Secret | None]
"""Looks at one place of a text, where a needle was found."""
_WORD = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRule:
    """`pattern` begins with a needle; its group 1 is the secret, else the whole is. `apart`: no letter or digit stands
    before it."""

    id: str
    severity: Severity
    about: str
    needles: tuple[bytes, ...]
    pattern: re.Pattern[bytes]
    apart: bool = True

    def find(self, data: bytes, at: int) -> Secret | None:
        """The token at a place of a text."""
        if self.apart and at and data[at - 1] in _WORD:
            return None
        match = self.pattern.match(data, at)
        if match is None:
            return None
        value = match[1] if self.pattern.groups else match[0]
        if is_example(value):
            return None
        return told(Secret(rule=self.id, severity=self.severity, message=self.about, at=at), value)


def _rule(name: str, severity: Severity, about: str, needles: str, pattern: bytes, *, apart: bool = True) -> TokenRule:
    begins = tuple(needles.encode().split())
    return TokenRule(id=name, severity=severity, about=about, needles=begins, pattern=re.compile(pattern), apart=apart)


_END = rb"(?![A-Za-z0-9_])"
TOKENS = (
    _rule("aws-access-key-id", "medium", "an access key id of AWS", "AKIA ASIA", rb"A[KS]IA[A-Z2-7]{16}" + _END),
    _rule(
        "aws-secret-access-key",
        "critical",
        "a secret access key of AWS",
        "ret_access_key RET_ACCESS_KEY retAccessKey",
        rb"(?i:ret_?access_?key)[\"']?\s{0,8}[:=]\s{0,8}[\"']?([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
        apart=False,
    ),
    _rule(
        "github-token",
        "critical",
        "a token of GitHub",
        "ghp_ gho_ ghu_ ghs_ ghr_",
        rb"gh[pousr]_[A-Za-z0-9]{36}" + _END,
    ),
    _rule(
        "github-token",
        "critical",
        "a token of GitHub",
        "github_pat_",
        rb"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}" + _END,
    ),
    _rule(
        "gitlab-token",
        "critical",
        "a token of GitLab",
        "glpat- gldt- glrt-",
        rb"gl(?:pat|dt|rt)-[A-Za-z0-9_-]{20,128}",
    ),
    _rule(
        "slack-token",
        "critical",
        "a token of Slack",
        "xox",
        rb"xox[abprs]-[0-9]{8,14}-[A-Za-z0-9-]{16,160}",
    ),
    _rule(
        "slack-token",
        "critical",
        "a token of Slack",
        "xapp-",
        rb"xapp-[0-9]-[A-Z0-9]{8,16}-[0-9]{8,16}-[a-z0-9]{32,96}",
    ),
    _rule(
        "slack-webhook",
        "high",
        "the address of a Slack webhook",
        "hooks.slack.com/services/",
        rb"hooks\.slack\.com/services/(T[A-Z0-9]{6,14}/B[A-Z0-9]{6,14}/[A-Za-z0-9]{20,32})",
        apart=False,
    ),
    _rule("npm-token", "critical", "a token of npm", "npm_", rb"npm_[A-Za-z0-9]{36}" + _END),
    _rule(
        "pypi-token",
        "critical",
        "a token of PyPI",
        "pypi-AgE",
        rb"pypi-AgE(?:IcHlwaS5vcmc|NdGVzdC5weXBpLm9yZw)[A-Za-z0-9_-]{50,400}",
    ),
    _rule("google-api-key", "high", "an API key of Google", "AIza", rb"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    _rule(
        "google-oauth-secret",
        "high",
        "a client secret of Google",
        "GOCSPX-",
        rb"GOCSPX-[A-Za-z0-9_-]{28}(?![A-Za-z0-9_-])",
    ),
    _rule("stripe-key", "critical", "a live key of Stripe", "sk_live_ rk_live_", rb"[sr]k_live_[A-Za-z0-9]{24,128}"),
    _rule(
        "sendgrid-key",
        "critical",
        "a key of SendGrid",
        "SG.",
        rb"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])",
    ),
    _rule("anthropic-key", "critical", "a key of Anthropic", "sk-ant-", rb"sk-ant-[a-z0-9]{3,8}-[A-Za-z0-9_-]{80,128}"),
    _rule(
        "openai-key",
        "critical",
        "a key of OpenAI",
        "sk-",
        rb"sk-(?:[a-z]{4,8}-)?[A-Za-z0-9_-]{20,100}T3BlbkFJ[A-Za-z0-9_-]{20,100}",
    ),
    _rule("huggingface-token", "high", "a token of Hugging Face", "hf_", rb"hf_[A-Za-z]{34}" + _END),
    _rule(
        "docker-token",
        "critical",
        "a token of Docker Hub",
        "dckr_pat_",
        rb"dckr_pat_[A-Za-z0-9_-]{27}(?![A-Za-z0-9_-])",
    ),
    _rule(
        "digitalocean-token",
        "critical",
        "a token of DigitalOcean",
        "dop_v1_",
        rb"dop_v1_[a-f0-9]{64}" + _END,
    ),
    _rule("vault-token", "critical", "a token of Vault", "hvs.", rb"hvs\.[A-Za-z0-9_-]{90,300}"),
    _rule(
        "azure-storage-key",
        "critical",
        "a key of an Azure storage account",
        "AccountKey=",
        rb"AccountKey=([A-Za-z0-9/+]{86}==)",
    ),
    _rule(
        "age-key",
        "critical",
        "a private key of age",
        "AGE-SECRET-KEY-1",
        rb"AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}" + _END,
    ),
)
_BASE64 = _WORD | frozenset(b"-")
_JWT = re.compile(rb"(eyJ[A-Za-z0-9_-]{8,2000}+)\.(eyJ[A-Za-z0-9_-]{8,8000}+)\.[A-Za-z0-9_-]{20,1400}")


def jwt(data: bytes, at: int) -> Secret | None:
    """A signed JSON Web Token (RFC 7519) that has not expired; those that have are of no use to anybody."""
    # One that begins inside of another's text is none, and looking there would take the square of its length.
    match = None if at and data[at - 1] in _BASE64 else _JWT.match(data, at)
    head, claims = (_json(match[1]), _json(match[2])) if match else (None, None)
    if match is None or head is None or claims is None or not isinstance(head.get("alg"), str) or head["alg"] == "none":
        return None
    expires = claims.get("exp")
    if isinstance(expires, int | float) and expires < time.time():
        return None
    return told(Secret(rule="jwt", severity="medium", message="a signed JSON Web Token", at=at), match[0])


def _json(text: bytes) -> dict[str, object] | None:
    try:
        value = json.loads(base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


FINDERS: tuple[tuple[bytes, Find], ...] = (
    (b"-----BEGIN ", keys.pem),
    (b"PuTTY-User-Key-File-", keys.putty),
    (b"eyJ", jwt),
    *((needle, rule.find) for rule in TOKENS for needle in rule.needles),
)
"""Needles, and what looks at the places where they are."""
