"""Other programs that sign and verify: skopeo with a policy, GnuPG, sigstore's verifiers for JavaScript."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import bases, cache

PASSWORD = "a password of the tests"
_NEWER = "trixie"
_PACKAGES = ("@sigstore/bundle@4.0.0", "@sigstore/verify@3.0.0")
_VERIFY = """
import { readFileSync } from 'node:fs';
import { createPublicKey } from 'node:crypto';
import { bundleFromJSON } from '@sigstore/bundle';
import { Verifier, toSignedEntity, toTrustMaterial } from '@sigstore/verify';
const [bundle, key, hint] = process.argv.slice(2);
const known = { publicKey: createPublicKey(readFileSync(key)), validFor: () => true };
const root = { mediaType: '', tlogs: [], ctlogs: [], certificateAuthorities: [], timestampAuthorities: [] };
const find = (wanted) => { if (wanted !== hint) throw new Error('another hint'); return known; };
const trust = toTrustMaterial(root, find);
const entity = toSignedEntity(bundleFromJSON(JSON.parse(readFileSync(bundle))));
new Verifier(trust, { tlogThreshold: 0, ctlogThreshold: 0, tsaThreshold: 0 }).verify(entity);
console.log('verified');
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skopeo:
    """skopeo with a configuration of its own below `home`; `registry` is `host:port`, by plain HTTP."""

    home: Path
    registry: str
    program: str = "skopeo"

    def attachments(self) -> None:
        """Have it look for signatures in the registry, and write them there."""
        self.configure({"use-sigstore-attachments": "true"})

    def configure(self, settings: Mapping[str, str]) -> None:
        """What `registries.d` says of the registry."""
        lines = [f"    {name}: {value}" for name, value in settings.items()]
        directory = self.home / "registries.d"
        directory.mkdir(exist_ok=True)
        (directory / "test.yaml").write_text("\n".join(["docker:", f"  {self.registry}:", *lines, ""]))

    def __call__(self, *words: str | os.PathLike[str], policy: Any = None) -> subprocess.CompletedProcess[str]:
        """Run it; with a policy, images must meet that."""
        file = self.home / "skopeo-policy.json"
        file.write_text(json.dumps(policy or {"default": [{"type": "insecureAcceptAnything"}]}))
        configured = ["--policy", str(file), "--registries.d", str(self.home / "registries.d")]
        return subprocess.run(
            [self.program, *configured, *map(os.fspath, words)],
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "GNUPGHOME": str(self.home / "gnupg")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    def takes(self, image: str, policy: Any, *more: str) -> subprocess.CompletedProcess[str]:
        """Copy an image of the registry out of it, if the policy lets that be."""
        target = self.home / "taken"
        shutil.rmtree(target, ignore_errors=True)
        source = f"docker://{self.registry}/{image}"
        return self("copy", "--quiet", "--src-tls-verify=false", *more, source, f"dir:{target}", policy=policy)

    def puts(self, base: str, image: str, *more: str) -> None:
        """Copy a base image into the registry."""
        source, target = f"oci:{bases.layout(base)}:latest", f"docker://{self.registry}/{image}"
        done = self("copy", "--quiet", "--dest-tls-verify=false", *more, source, target)
        assert done.returncode == 0, done.stderr


def skopeo_with_sigstore() -> str:
    """A skopeo that knows sigstore's signatures: the machine's, else that of a newer Debian, laid out beside it.

    Debian 12 built its own without: it has the options, and refuses to obey them. Raises `RuntimeError` where none can
    be had.
    """
    own = shutil.which("skopeo")
    if own is not None and b"Debian-local change: sigstore disabled" not in Path(own).read_bytes():
        return own
    return str(cache.once("skopeo-sigstore", _NEWER, _lay_out) / "skopeo")


def _lay_out(directory: Path) -> None:
    tree = directory / "tree"
    cache.run("mmdebstrap", "--quiet", "--variant=extract", "--include=skopeo", _NEWER, tree)
    loader = next((tree / "usr" / "lib").glob("*/ld-linux*.so.*"))
    # By its own loader and libraries, wherever the directory is: the machine's are older.
    below = loader.relative_to(directory)
    command = f'exec "$here/{below}" --library-path "$here/{below.parent}" "$here/tree/usr/bin/skopeo" "$@"'
    script = f'#!/bin/sh\nhere=$(dirname "$0")\n{command}\n'
    (directory / "skopeo").write_text(script)
    (directory / "skopeo").chmod(0o755)


def verified_by_sigstore(bundle: bytes, public: Path, hint: str, scratch: Path) -> bool:
    """Whether sigstore's own library takes a bundle for that key's."""
    modules = cache.once("sigstore-js", repr((_PACKAGES, _VERIFY)), _install)
    file = scratch / "bundle.json"
    file.write_bytes(bundle)
    done = subprocess.run(
        ["node", modules / "verify.mjs", file, public, hint], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    return done.returncode == 0 and done.stdout == "verified\n"


def _install(directory: Path) -> None:
    (directory / "package.json").write_text('{"private": true}')
    (directory / "verify.mjs").write_text(_VERIFY)
    cache.run("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *_PACKAGES, cwd=directory)


def gpg_key(home: Path, name: str) -> tuple[str, bytes]:
    """Make an OpenPGP key below `home`; returns its fingerprint and the armoured public key."""
    directory = home / "gnupg"
    directory.mkdir(mode=0o700, exist_ok=True)
    words = ["gpg", "--homedir", str(directory), "--batch", "--quiet", "--pinentry-mode", "loopback"]
    subprocess.run(
        [*words, "--passphrase", "", "--quick-gen-key", name, "rsa3072", "sign", "never"],
        check=True,
        capture_output=True,
    )
    told = subprocess.run([*words, "--with-colons", "--list-keys", name], check=True, capture_output=True, text=True)
    print_line = next(line for line in told.stdout.splitlines() if line.startswith("fpr:"))
    armoured = subprocess.run([*words, "--armor", "--export", name], check=True, capture_output=True).stdout
    return print_line.split(":")[9], armoured


def end_agent(home: Path) -> None:
    """End the agent that gpg started for that directory."""
    directory = str(home / "gnupg")
    subprocess.run(["gpgconf", "--homedir", directory, "--kill", "all"], capture_output=True, check=False)
