"""Which names of variables sound as if they held a secret.

A name is words between underscores, in any case: `GITHUB_TOKEN`, `db_password`. It sounds secret if one of its words
does, unless another says that it is none: `PUBLIC_KEY`, `TOKEN_FILE`.
"""

from __future__ import annotations

SECRET_WORDS = frozenset(
    {
        *("apikey", "auth", "credential", "credentials", "key"),
        *("passwd", "password", "pword", "secret", "token"),
    }
)
HARMLESS_WORDS = frozenset({"file", "public", "version"})


def sounds_secret(name: str) -> bool:
    """Whether a variable of this name probably holds a secret."""
    words = set(name.lower().split("_"))
    return bool(words & SECRET_WORDS) and not words & HARMLESS_WORDS
