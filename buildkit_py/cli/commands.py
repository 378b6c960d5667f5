"""The table of commands: where each one is, so that only the one that is run is imported."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from buildkit_py.cli.parser import Command

COMMANDS = {
    "build": ("build", "make the images that a build file describes"),
    "check": ("source", "look for mistakes in build files, without building"),
    "fmt": ("source", "write build files in the one usual way"),
    "convert": ("convert", "write a Dockerfile as a Buildfile"),
    "graph": ("graph", "show what a build consists of"),
    "builds": ("builds", "list past builds"),
    "timings": ("timings", "show where the time of a build went"),
    "why": ("why", "say what made a step run again"),
    "update": ("lock", "move what Buildfile.lock pins"),
    "ls": ("images", "list the images in the store"),
    "inspect": ("images", "show an image: configuration, layers, digests"),
    "scan": ("scan", "look for packages, secrets and risky files in an image"),
    "push": ("push", "send an image to a registry"),
    "df": ("storage", "show what the store's space is used for"),
    "prune": ("storage", "free space in the store"),
    "store": ("storage", "check the store, or say where it is"),
    "completion": ("completion", "print a completion script for a shell"),
}
"""Name → (module of this package, one line)."""


def load(name: str) -> Command:
    """The command of that name."""
    module = import_module(f"buildkit_py.cli.{COMMANDS[name][0]}")
    return cast("Command", getattr(module, name.upper()))
