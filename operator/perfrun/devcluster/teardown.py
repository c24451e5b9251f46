"""Taking a cluster down, finished or half made: end its first process, and remove what the kernel does not.

The kernel ends every process of the cluster's process namespace with its first one, then frees mounts and network
namespaces. Left are the host's link, cgroup directories and files.
"""

import contextlib
import os
import select
import shutil
import signal
from pathlib import Path

from perfrun.devcluster import cgroups, network
from perfrun.devcluster.errors import DevClusterError
from perfrun.devcluster.layout import cluster_root
from perfrun.devcluster.state import ClusterState, ProcessId, load

_SECONDS_TO_END = 20.0


def end_processes(state: ClusterState) -> None:
    """End all processes of the cluster and wait until they are gone.

    Raises:
        DevClusterError: the kernel does not let go of one.
    """
    # The namespace's first process is a child of the one that was started.
    for process in [*state.holder.children(), state.holder]:
        _kill(process)


def _kill(process: ProcessId) -> None:
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        # With the handle open the number cannot change its meaning any more, so that this check holds.
        if not process.alive:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        if not select.select([handle], [], [], _SECONDS_TO_END)[0]:
            raise DevClusterError(
                f"process {process.pid} of the cluster does not end within {_SECONDS_TO_END:.0f} s of SIGKILL: "
                "it hangs in the kernel (see its /proc entry), and only a reboot helps"
            )
    finally:
        os.close(handle)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)


def clear(root: Path, name: str) -> None:
    """Remove everything of the named cluster. The caller holds its lock.

    Raises:
        DevClusterError: something does not go away.
    """
    state = load(root, name)
    if state is not None:
        end_processes(state)
        network.remove_link(state.layout.host_link)
        cgroups.remove(state.layout.cgroup)
    directory = cluster_root(root, name)
    if directory.exists():
        shutil.rmtree(directory)
