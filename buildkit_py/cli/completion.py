"""`pybuild completion`: scripts for shells, made from the commands' own parsers."""

from __future__ import annotations

from shlex import quote

from buildkit_py.cli.commands import COMMANDS, load
from buildkit_py.cli.parser import Command, Namespace, Parser
from buildkit_py.cli.shell import Shell

_BASH = """\
_pybuild() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} words=
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{commands}"
    else
        case ${{COMP_WORDS[1]}} in
{cases}
        esac
        case $word in -*) ;; *) words= ;; esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _pybuild pybuild
"""
_ZSH = """\
#compdef pybuild
_pybuild() {{
    local -a found
    if (( CURRENT == 2 )); then
        found=(
{commands}
        )
        _describe command found
        return
    fi
    case $words[2] in
{cases}
    esac
    if [[ $PREFIX == -* ]]; then compadd -- $found; else _files; fi
}}
compdef _pybuild pybuild
"""


def bash() -> str:
    """The script for bash."""
    cases = "\n".join(f'            {name}) words="{" ".join(options)}" ;;' for name, options in _options())
    return _BASH.format(commands=" ".join(_names()), cases=cases)


def zsh() -> str:
    """The script for zsh."""
    commands = "\n".join(f"            {quote(f'{name}:{about}')}" for name, about in _names().items())
    cases = "\n".join(f"        {name}) found=({' '.join(options)}) ;;" for name, options in _options())
    return _ZSH.format(commands=commands, cases=cases)


def fish() -> str:
    """The script for fish."""
    lines = [
        f"complete -c pybuild -n __fish_use_subcommand -a {name} -d {_fish_quoted(about)}"
        for name, about in _names().items()
    ]
    for name, options in _options():
        for option in options:
            flag = f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
            lines.append(f"complete -c pybuild -n '__fish_seen_subcommand_from {name}' {flag}")
    return "\n".join(lines) + "\n"


def _names() -> dict[str, str]:
    names = {name: about for name, (_, about) in COMMANDS.items()}
    return {**names, "version": "print the version", "help": "say more about a command"}


def _options() -> list[tuple[str, list[str]]]:
    return [(name, load(name).parser().options()) for name in COMMANDS]


def _fish_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def prepare(parser: Parser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "shell", choices=("bash", "zsh", "fish"), metavar="SHELL", help="the shell that reads the script"
    )


def run(args: Namespace, shell: Shell) -> int:
    """Print the script."""
    shell.write({"bash": bash, "zsh": zsh, "fish": fish}[args.shell]())
    return 0


COMPLETION = Command(
    "completion",
    usage="bash|zsh|fish",
    about="Print a script that completes pybuild's commands and options in a shell.",
    examples=(
        ("source <(pybuild completion bash)", "in ~/.bashrc"),
        ("source <(pybuild completion zsh)", "in ~/.zshrc, after compinit"),
        ("pybuild completion fish | source", "in ~/.config/fish/config.fish"),
    ),
    prepare=prepare,
    run=run,
)
