"""What the machine itself has to bring: root, a few Debian packages, overlayfs. Each lack gets its sentence."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from perfrun.devcluster.errors import DevClusterError

CNI_PLUGINS = Path("/usr/lib/cni")
BUSYBOX = Path("/bin/busybox")
# Root's programs are not always on PATH, and runc from a Go module would lack seccomp.
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
RUNC = "runc"
NODE_EXPORTER = "prometheus-node-exporter"
BLACKBOX_EXPORTER = "prometheus-blackbox-exporter"
# Asked by every package that starts a service (Debian policy manual, section 9.3.3.1); 101 is a refusal.
_START_POLICY = Path("/usr/sbin/policy-rc.d")
_NO_START = "#!/bin/sh\nexit 101\n"


@attrs.frozen
class _Package:
    name: str
    present: Callable[[], bool]
    service: str = ""
    """The unit that Debian would run on the machine itself, where only the program is wanted."""


def _program(name: str) -> Callable[[], bool]:
    return lambda: shutil.which(name, path=SYSTEM_PATH) is not None


def _static_busybox() -> bool:
    # Debian's ordinary busybox needs shared libraries that an image of one file lacks.
    if not BUSYBOX.is_file():
        return False
    return b"/lib64/ld-linux" not in BUSYBOX.read_bytes()[:4096]


_PACKAGES = (
    _Package("runc", _program(RUNC)),
    _Package("containernetworking-plugins", (CNI_PLUGINS / "ptp").is_file),
    _Package("iproute2", _program("ip")),
    _Package("nftables", _program("nft")),
    _Package("busybox-static", _static_busybox),
    _Package("openssl", _program("openssl")),
    _Package("util-linux", _program("nsenter")),
    _Package("mount", _program("mount")),
    # What the example of a served system runs: pods of the host runtime see the machine's programs.
    _Package("nginx", _program("nginx"), "nginx.service"),
    _Package("prometheus-nginx-exporter", _program("prometheus-nginx-exporter"), "prometheus-nginx-exporter.service"),
    # What benchmark pods measure the throughput of the container network with.
    _Package("iperf3", _program("iperf3"), "iperf3.service"),
    # What is recorded of every node.
    _Package(NODE_EXPORTER, _program(NODE_EXPORTER), "prometheus-node-exporter.service"),
    _Package(BLACKBOX_EXPORTER, _program(BLACKBOX_EXPORTER), "prometheus-blackbox-exporter.service"),
)


def ensure(report: Callable[[str], None]) -> None:
    """Install the Debian packages that are missing and check what cannot be installed.

    Raises:
        DevClusterError: not root, no overlayfs, or a package that cannot be installed.
    """
    if os.geteuid() != 0:
        raise DevClusterError(
            "the development cluster makes namespaces and cgroups and has to run as root: try again with sudo, "
            "or use a cluster that you have (every other command takes any kubeconfig)"
        )
    missing = _missing()
    if missing:
        report(f"installing Debian packages: {' '.join(package.name for package in missing)} ...")
        _install(missing)
    _check_overlayfs()


def _missing() -> list[_Package]:
    return [package for package in _PACKAGES if not package.present()]


@contextlib.contextmanager
def services_left_alone(services: list[str]) -> Iterator[None]:
    """Keep these units, while they are installed, from serving on the machine itself, now and after its next start."""
    ours = not _START_POLICY.exists()
    if ours:
        _START_POLICY.write_text(_NO_START)
        _START_POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            _START_POLICY.unlink(missing_ok=True)
        if services and shutil.which("systemctl"):
            subprocess.run(["systemctl", "disable", *services], capture_output=True, check=False)


def _install(packages: list[_Package]) -> None:
    names = [package.name for package in packages]
    if shutil.which("apt-get") is None:
        raise DevClusterError(
            f"programs of these packages are missing, and there is no apt-get here: {', '.join(names)}"
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # Another `up` may be installing the same at this moment.
    options = ["-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"]
    install = ["apt-get", "install", *options, *names]
    with services_left_alone([package.service for package in packages if package.service]):
        # A fresh machine has no package lists; one that has them is spared the wait.
        for command in (install, ["apt-get", "update", "-q"], install):
            answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if not _missing():
                return
    last = (answer.stderr or answer.stdout).strip().splitlines()
    raise DevClusterError(
        f"apt-get could not install {' '.join(package.name for package in _missing())}: "
        f"{last[-1] if last else 'it did not say why'}"
    )


def _check_overlayfs() -> None:
    if "overlay" in Path("/proc/filesystems").read_text().split():
        return
    loaded = (
        subprocess.run(["modprobe", "overlay"], capture_output=True, check=False) if shutil.which("modprobe") else None
    )
    if loaded is None or loaded.returncode != 0:
        raise DevClusterError("this kernel has no overlayfs, which containers need: load or build the module `overlay`")
