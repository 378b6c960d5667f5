"""`python -m buildkit_py.cli`: the same program without an installed script."""

from buildkit_py.cli import program

program()
