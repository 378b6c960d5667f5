"""Every rule by its id, with what it means."""

from __future__ import annotations

from collections.abc import Mapping

from buildkit_py.scan import files
from buildkit_py.scan.model import Rule
from buildkit_py.scan.secrets.tokens import TOKENS

_SECRETS = (
    Rule(id="private-key", severity="critical", about="A private key that anybody can use who has the image."),
    Rule(id="private-key-encrypted", severity="medium", about="A private key under a passphrase."),
    Rule(id="jwt", severity="medium", about="A signed JSON Web Token that has not expired."),
    Rule(id="netrc-password", severity="high", about="A password in a netrc file."),
    Rule(id="registry-credentials", severity="critical", about="Credentials for an image registry."),
    Rule(id="npmrc-credentials", severity="critical", about="Credentials for an npm registry."),
    Rule(id="pypirc-password", severity="critical", about="A password for a Python package index."),
    Rule(id="url-password", severity="high", about="A password in a URL."),
    Rule(id="pgpass-password", severity="high", about="A password for PostgreSQL."),
    Rule(id="mysql-password", severity="high", about="A password for MySQL."),
    Rule(id="kubeconfig-credentials", severity="critical", about="Credentials for Kubernetes."),
    Rule(id="password-hash", severity="high", about="The hash of a password, which can be searched for."),
    Rule(id="empty-password", severity="high", about="A user with an empty password."),
    Rule(id="key-store", severity="medium", about="A file that holds private keys or passwords."),
    Rule(id="secret-variable", severity="high", about="A variable whose name and value look like a secret."),
    Rule(id="vulnerability", severity="medium", about="A package with a known vulnerability."),
)
_TOKENS = (
    Rule(id=each.id, severity=each.severity, about=f"{each.about[0].upper()}{each.about[1:]}.") for each in TOKENS
)

RULES: Mapping[str, Rule] = {rule.id: rule for rule in (*_SECRETS, *_TOKENS, *files.RULES)}
