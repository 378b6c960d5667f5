"""The programs of the build machine that host steps declare, as they enter a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from buildkit_py.graph.op import Tool
    from buildkit_py.store import Store


class MachineTools:
    """Identities of programs: SHA-256 of the file, remembered under its stat data."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, str] = {}

    def identity(self, tool: Tool) -> str:
        """The digest of the program; raises `MissingToolError` that names the package to install."""
        if tool.name not in self._known:
            self._known[tool.name] = self._remembered(tool)
        return self._known[tool.name]

    def _remembered(self, tool: Tool) -> str:
        from buildkit_py.executor.sandbox import HOST_PATH, find_tool, tool_identity

        path = find_tool(tool.name, package=tool.package)
        facts = path.stat()
        name = f"{path}:{facts.st_size}:{facts.st_mtime_ns}:{facts.st_ctime_ns}:{facts.st_ino}"
        known: str | None = self._store.memo.get("tool", name)
        if known is None:
            known = tool_identity(tool.name, HOST_PATH, package=tool.package)
            self._store.memo.put("tool", name, known)
        return known
