"""The words of the language: how each statement is written, and what a person may have meant by another word."""

from __future__ import annotations

FORMS = {
    "buildfile": "buildfile 1",
    "param": 'param version: string = "1.0"',
    "secret": 'secret token "what it is for"',
    "def": "def install(packages: list) { … }",
    "import": "import ./lib/tools.build as tools",
    "stage": "stage build { … }",
    "image": "image web { … }",
    "layer": 'layer "app" { … }',
    "if": 'if variant == "debug" { … }',
    "else": "if condition { … } else { … }",
    "for": 'for name in ["a", "b"] { … }',
    "with": "with network, cache(/root/.cache)",
    "test": 'test "it starts" { … }',
    "run": "run make install",
    "host": 'host tool --root "$ROOTFS"',
    "from": 'from scratch, from "debian:12" or from build',
    "copy": "copy ./a to /b",
    "mkdir": "mkdir /var/lib/app",
    "write": 'write /etc/app.conf "port = 80\\n"',
    "symlink": "symlink /usr/bin/python to python3",
    "remove": "remove /var/cache/apt",
    "chmod": "chmod 0755 /usr/bin/app",
    "chown": "chown app:app /var/lib/app",
    "unpack": "unpack ./app.tar.gz to /opt/app",
    "fetch": 'fetch "https://example.org/tool" to /usr/bin/tool',
    "git": 'git "https://example.org/app.git" at v1.0 to /src',
    "platforms": "platforms linux/amd64, linux/arm64",
    "env": 'env LANG = "C.UTF-8"',
    "user": "user app",
    "workdir": "workdir /srv",
    "entrypoint": 'entrypoint ["app", "serve"]',
    "command": 'command ["--help"]',
    "expose": "expose 8080",
    "volume": "volume /data",
    "label": 'label "org.opencontainers.image.version" = version',
    "annotation": 'annotation "org.opencontainers.image.title" = "web"',
    "stop_signal": "stop_signal SIGTERM",
    "healthcheck": 'healthcheck ["app", "ping"] interval 30s',
    "unset": "unset env NAME",
    "output": "output archive ./web.tar",
    "file": "file /usr/bin/app mode 0755",
    "absent": "absent /usr/bin/apt",
    "owner": "owner /data app",
    "mode": "mode /usr/bin/app 0755",
    "text": 'text /etc/os-release "Debian"',
}
"""How a statement is written, by its first word."""

STATEMENTS = frozenset(FORMS)

RESERVED = STATEMENTS | {
    *("and", "or", "not", "in", "true", "false", "as", "to", "at", "platform", "scratch", "none"),
    *("string", "int", "bool", "list"),
}
"""Words that nothing may be called."""

SHELL_NAMES = frozenset({"PATH", "HOME", "ROOTFS", "SOURCE_DATE_EPOCH", "IFS", "PWD", "SHELL", "USER", "ENV"})
"""Variables with a meaning of their own in a step: a declared name would replace them where it is mentioned."""

MEANT = {
    "add": "`copy` takes files, `unpack` archives and `fetch` a URL",
    "arg": "write `param NAME: string`",
    "cmd": 'write `command ["…"]`',
    "maintainer": 'write `label "org.opencontainers.image.authors" = "…"`',
    "onbuild": "write a `def`, and call it where it is wanted",
    "shell": "a `run` block may begin with a `#!` line",
    "stopsignal": "write `stop_signal SIGTERM`",
    "include": "write `import ./file.build as name`",
    "let": "write `param NAME: string = …`",
    "var": "write `param NAME: string = …`",
    "set": 'write `env NAME = "…"`',
    "mount": "write `with mount(…)` before the step",
    "cache": "write `with cache(/path)` before the step",
    "network": "write `with network` before the step",
    "timeout": "write `with timeout(10m)` before the step",
    "memory": "write `with memory(512m)` before the step",
    "elif": "write `} else if … {`",
    "elseif": "write `} else if … {`",
    "function": "write `def NAME(…) { … }`",
    "target": "write `stage NAME { … }` or `image NAME { … }`",
    "ports": "write `expose 8080`",
    "cp": "write `copy ./a to /b`",
    "rm": "write `remove /path`",
    "ln": "write `symlink /path to target`",
    "sh": "write `run …`",
    "exec": "write `run …`",
    "tag": 'write `output store "name"`',
    "push": 'write `output registry "registry.example/name:tag"`',
}
"""Words of other languages, and what to write for them."""


def closest(word: str, known: list[str] | frozenset[str] | set[str]) -> str | None:
    """The known word that `word` is most likely a slip of."""
    from difflib import get_close_matches

    if len(word) > 60:
        return None
    lower = {candidate.lower(): candidate for candidate in sorted(known)}
    found = get_close_matches(word.lower(), lower, n=5, cutoff=0.6)
    swapped = [candidate for candidate in found if sorted(candidate) == sorted(word.lower())]
    return lower[[*swapped, *found][0]] if found else None


def did_you_mean(word: str, known: list[str] | frozenset[str] | set[str]) -> str | None:
    """A hint that names the closest known word, if there is one near enough."""
    found = closest(word, known)
    return f"did you mean `{found}`?" if found else None


def one_of(words: list[str] | tuple[str, ...], *, last: str = "or") -> str:
    """`a`, `b` or `c`."""
    quoted = [f"`{word}`" for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {last} {quoted[-1]}"
