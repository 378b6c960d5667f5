"""The Lark grammars of pybuild's frontends."""
