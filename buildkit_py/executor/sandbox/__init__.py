"""The sandbox that every step runs in: a root file system, mounts, an identity and limits, the same by each runtime.

    runtime = pick_runtime("auto")
    with Runner(runtime, state) as runner:          # on a thread that outlives it
        result = runner.run(SandboxSpec(root=DirectoryRoot(path="/tree"), args=("id",)), on_output=print)

Steps are data (`spec`); `supervisor` draws the processes; `docs/sandbox.md` says what a step sees.
"""

from buildkit_py.executor.sandbox.capabilities import (
    CAPABILITIES,
    DEFAULT_CAPABILITIES,
    HOST_CAPABILITIES,
    current_capabilities,
)
from buildkit_py.executor.sandbox.host import ROOTFS, HostView, host_view
from buildkit_py.executor.sandbox.network import CA_BUNDLE, CA_ENVIRONMENT, CA_PLACES, network_mounts
from buildkit_py.executor.sandbox.rootless import enter_user_namespace, in_user_namespace
from buildkit_py.executor.sandbox.runner import Runner, RunResult
from buildkit_py.executor.sandbox.runtime import Runtime, pick_runtime
from buildkit_py.executor.sandbox.spec import (
    BindMount,
    DirectoryRoot,
    FileMount,
    MemoryRoot,
    Mount,
    OverlayMount,
    OverlayRoot,
    Root,
    RootMount,
    SandboxSpec,
    TmpfsMount,
)

__all__ = [
    "CAPABILITIES",
    "CA_BUNDLE",
    "CA_ENVIRONMENT",
    "CA_PLACES",
    "DEFAULT_CAPABILITIES",
    "HOST_CAPABILITIES",
    "ROOTFS",
    "BindMount",
    "DirectoryRoot",
    "FileMount",
    "HostView",
    "MemoryRoot",
    "Mount",
    "OverlayMount",
    "OverlayRoot",
    "Root",
    "RootMount",
    "RunResult",
    "Runner",
    "Runtime",
    "SandboxSpec",
    "TmpfsMount",
    "current_capabilities",
    "enter_user_namespace",
    "host_view",
    "in_user_namespace",
    "network_mounts",
    "pick_runtime",
]
