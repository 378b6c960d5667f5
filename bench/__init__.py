"""The benchmark: pybuild beside the builders that Debian has, on the same inputs, in turn."""
