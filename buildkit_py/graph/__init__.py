"""The graph: the public API between frontends and the engine.

A program builds one in Python (`GraphBuilder`), or compiles a build file with a frontend, and gets a `Definition`:
immutable vertices named by digests, the images to make of them, and, outside every digest, where each was written.
Importing this package needs no root, no store, no network. The encoding is specified in `spec/graph.md`.
"""

from buildkit_py.graph.builder import GraphBuilder
from buildkit_py.graph.definition import (
    Definition,
    HistoryLine,
    ImageTarget,
    LayerPlan,
    Output,
    Test,
    TestItem,
    Vertex,
)
from buildkit_py.graph.op import (
    BindMount,
    CacheMount,
    Chmod,
    Chown,
    Copy,
    FileMount,
    GitSource,
    Host,
    HttpSource,
    ImageSource,
    LocalSource,
    Merge,
    Mkdir,
    Mount,
    Op,
    Remove,
    Run,
    Scratch,
    SecretMount,
    SshMount,
    Symlink,
    TmpfsMount,
    Tool,
    Unpack,
    Write,
)
from buildkit_py.graph.resolver import ImageConfig, ResolvedImage, Resolver
from buildkit_py.graph.settings import Settings

__all__ = [
    "BindMount",
    "CacheMount",
    "Chmod",
    "Chown",
    "Copy",
    "Definition",
    "FileMount",
    "GitSource",
    "GraphBuilder",
    "HistoryLine",
    "Host",
    "HttpSource",
    "ImageConfig",
    "ImageSource",
    "ImageTarget",
    "LayerPlan",
    "LocalSource",
    "Merge",
    "Mkdir",
    "Mount",
    "Op",
    "Output",
    "Remove",
    "ResolvedImage",
    "Resolver",
    "Run",
    "Scratch",
    "SecretMount",
    "Settings",
    "SshMount",
    "Symlink",
    "Test",
    "TestItem",
    "TmpfsMount",
    "Tool",
    "Unpack",
    "Vertex",
    "Write",
]
