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
    "update": ("lock", "move what Buildfile.lock pins"),
    "builds": ("builds", "list past builds"),
    "timings": ("timings", "show where the time of a build went"),
    "why": ("why", "say what made a step run again"),
    "ls": ("images", "list the images in the store"),
    "inspect": ("images", "show an image: configuration, layers, digests"),
    "history": ("history", "show what made each layer of an image"),
    "diff": ("diff", "show what differs between two images"),
    "scan": ("scan", "look for packages, secrets and risky files in an image"),
    "mount": ("mount", "show an image's files in a directory, or list what is shown"),
    "umount": ("mount", "take that away again"),
    "shell": ("enter", "run a locked-down shell in an image"),
    "tag": ("names", "give an image further names"),
    "untag": ("names", "take names of images away"),
    "rmi": ("names", "remove images, and what they alone need"),
    "import": ("rootfs", "make an image of a tar of a root file system"),
    "export": ("rootfs", "write the files of an image as a tar"),
    "save": ("archives", "write images of the store into one file"),
    "load": ("archives", "bring the images of a file into the store"),
    "login": ("login", "log in to a registry"),
    "logout": ("login", "forget the login for a registry"),
    "pull": ("copy", "bring an image from a registry into the store"),
    "push": ("push", "send an image to a registry"),
    "copy": ("copy", "copy an image from anywhere to anywhere"),
    "sync": ("remote", "keep repositories beside others"),
    "tags": ("remote", "list the tags of a repository"),
    "delete": ("remote", "remove an image from a registry"),
    "key": ("key", "make a key that signs images"),
    "sign": ("signing", "sign an image in a registry"),
    "verify": ("signing", "check the signatures of an image"),
    "install": ("service", "install an image as a systemd service"),
    "upgrade": ("service", "switch a service to another image"),
    "rollback": ("service", "switch a service back to what it was"),
    "uninstall": ("service", "remove a service"),
    "installed": ("service", "list the services that are installed"),
    "df": ("storage", "show what the store's space is used for"),
    "prune": ("prune", "free space in the store"),
    "store": ("storage", "check the store, limit its size, or say where it is"),
    "info": ("info", "show what pybuild finds on this machine"),
    "completion": ("completion", "print a completion script for a shell"),
}
"""Name → (module of this package, one line)."""


def load(name: str) -> Command:
    """The command of that name."""
    module = import_module(f"buildkit_py.cli.{COMMANDS[name][0]}")
    return cast("Command", getattr(module, name.upper()))
