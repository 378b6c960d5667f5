"""pybuild: a declarative, daemonless build engine for container images."""

__version__ = "0.1.0"
