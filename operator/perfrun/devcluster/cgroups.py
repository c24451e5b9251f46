"""The only thing of a cluster that outlives its processes: empty cgroup directories, made here and removed here.

Both layouts are in use: one unified hierarchy (v2), or one per controller (v1), possibly with an unused v2 beside them.
"""

import time
from pathlib import Path

from perfrun.devcluster.errors import DevClusterError

_CONTROLLERS = ("cpuset", "cpu", "io", "memory", "pids", "hugetlb")
_REMOVAL_SECONDS = 10.0
_TIMES = 8
"""How much more all pods together weigh than one other group, or in v1 one other process, of the machine.

What is measured runs in pods: as one group among the machine's processes it would get a share of one of them.
"""

_USUAL = {"cpu.shares": 1024, "cpu.weight": 100}


def _mounts(kinds: set[str]) -> list[Path]:
    fields = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return [Path(field[1]) for field in fields if field[2] in kinds]


def is_v1() -> bool:
    """Whether controllers have hierarchies of their own."""
    return bool(_mounts({"cgroup"}))


def create(cluster: str, nodes: list[str]) -> None:
    """Make `/cluster/node` in every hierarchy that has controllers.

    Raises:
        DevClusterError: no cgroups are mounted, or they cannot be written.
    """
    hierarchies = _mounts({"cgroup"}) or _mounts({"cgroup2"})
    if not hierarchies:
        raise DevClusterError("no cgroups are mounted: mount them at /sys/fs/cgroup, as every init system does")
    try:
        for hierarchy in hierarchies:
            for node in nodes:
                create_in(hierarchy, (cluster, node))
            weigh(hierarchy / cluster)
    except OSError as error:
        raise DevClusterError(
            f"cgroups cannot be made at {error.filename}: {error.strerror}; is this a container?"
        ) from error


def create_in(hierarchy: Path, names: tuple[str, ...]) -> None:
    """Make one nested group, ready to hold others: with the controllers (v2) or the processors (v1) of its parent."""
    path = hierarchy
    for name in names:
        _delegate(path)
        path /= name
        path.mkdir(exist_ok=True)
        _inherit_cpuset(path)
    _delegate(path)


def weigh(path: Path) -> None:
    """Give a group its weight against the rest of the machine, in the hierarchy that has the CPU."""
    for name, usual in _USUAL.items():
        if (path / name).exists():
            (path / name).write_text(str(_TIMES * usual))


def _delegate(path: Path) -> None:
    control = path / "cgroup.subtree_control"
    if not control.exists():
        return
    available = (path / "cgroup.controllers").read_text().split()
    enabled = control.read_text().split()
    wanted = [f"+{name}" for name in _CONTROLLERS if name in available and name not in enabled]
    if wanted:
        control.write_text(" ".join(wanted))


def _inherit_cpuset(path: Path) -> None:
    # In v1 a new cpuset is empty, and no process can enter it.
    if (path / "cgroup.controllers").exists():
        return
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (path / name).exists() and not (path / name).read_text().strip():
            (path / name).write_text((path.parent / name).read_text())


def existing(cluster: str) -> list[Path]:
    """The cluster's directories that are there, one for each hierarchy."""
    return [path for mount in _mounts({"cgroup", "cgroup2"}) if (path := mount / cluster).is_dir()]


def remove(cluster: str) -> None:
    """Remove the cluster's cgroups, depth first.

    Raises:
        DevClusterError: a process still lives in one of them.
    """
    deadline = time.monotonic() + _REMOVAL_SECONDS
    while left := [path for path in existing(cluster) if not _remove_tree(path)]:
        if time.monotonic() > deadline:
            raise DevClusterError(f"{left[0]} still holds processes: end them and run `perfrun dev down` again")
        time.sleep(0.05)


def _remove_tree(path: Path) -> bool:
    try:
        children = [child for child in path.iterdir() if child.is_dir()]
        emptied = [_remove_tree(child) for child in children]
        if not all(emptied):
            return False
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        # The kernel lets go of a group a moment after its last process.
        return False
    return True
