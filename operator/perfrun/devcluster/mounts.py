"""What the cluster's programs see at paths that they fix themselves, so that they find and leave nothing there.

All of it is made in the cluster's own mount namespace, and the kernel removes it with the last process.
"""

import subprocess
from pathlib import Path

from perfrun.devcluster.layout import RUN, Layout

# The kubelet sets these for the whole machine, unless it reads what it wants: so it reads it from a file instead.
_KUBELET_WANTS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
# Twenty kubelets, their cAdvisors and containerds: the stock limit of 128 instances stops the last of them.
_INOTIFY = {"fs/inotify/max_user_instances": 8192, "fs/inotify/max_user_watches": 524288}
_SYSCTL = Path("/proc/sys")
PER_NODE = (Path("/run/containerd"), Path("/var/lib/kubelet"))
"""Where cAdvisor looks for containerd, and where every kubelet puts the socket for device plugins."""


def raise_inotify_limits() -> None:
    """Raise the machine's inotify limits where they are lower than many kubelets need; they stay raised."""
    for key, needed in _INOTIFY.items():
        path = _SYSCTL / key
        if int(path.read_text()) < needed:
            path.write_text(str(needed))


def create(layout: Layout) -> None:
    """Cover /run, /var/log and /var/lib, and the settings that kubelets would change.

    Raises:
        subprocess.CalledProcessError: the kernel refused.
    """
    # Volumes that pods share with their node need a shared tree; its peers are in this namespace only.
    _mount("--make-rshared", "/")
    _mount("-t", "tmpfs", "-o", "mode=0755", "perfrun-run", "/run")
    for directory in (RUN, Path("/run/netns"), Path("/run/lock")):
        directory.mkdir()
    _mount("-t", "tmpfs", "-o", "mode=0755", "perfrun-log", "/var/log")
    _cover_var_lib(layout.root)
    for directory in PER_NODE:
        directory.mkdir()
        _mount("-t", "tmpfs", "perfrun-node", str(directory))
        # What a node puts here in its own namespace stays there.
        _mount("--make-private", str(directory))
    _pretend_settings()


def on_node(layout: Layout, number: int) -> tuple[str, ...]:
    """The words before a command that show it its own node's directories at `PER_NODE`, and share all other mounts."""
    run = layout.node_run(number)
    script = 'mount --bind "$1" "$2" && mount --bind "$3" "$4" && shift 4 && exec "$@"'
    sources = (run, run / "kubelet")
    binds = [str(path) for pair in zip(sources, PER_NODE, strict=True) for path in pair]
    return ("unshare", "--mount", "--propagation", "unchanged", "--", "sh", "-c", script, "sh", *binds)


def _cover_var_lib(root: Path) -> None:
    covered = Path("/var/lib")
    kept, upper, work = RUN / "root", RUN / "var-lib", RUN / "var-lib-work"
    for directory in (kept, upper, work):
        directory.mkdir()
    _mount("--bind", str(root), str(kept))
    _mount("-t", "overlay", "-o", f"lowerdir={covered},upperdir={upper},workdir={work}", "perfrun-lib", str(covered))
    if root.is_relative_to(covered):
        # Containers' own overlays cannot stand on this one: the cluster's directory is the real one again.
        _mount("--bind", str(kept), str(root))


def _pretend_settings() -> None:
    directory = RUN / "sysctl"
    directory.mkdir()
    for key, wanted in _KUBELET_WANTS.items():
        setting = _SYSCTL / key
        if setting.exists() and setting.read_text().strip() != wanted:
            pretended = directory / key.replace("/", ".")
            pretended.write_text(wanted + "\n")
            _mount("--bind", str(pretended), str(setting))


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True, text=True)
