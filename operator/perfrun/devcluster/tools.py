"""The programs that the cluster is made of, built from pinned Go modules.

Building them here, rather than downloading them, needs only Go's module proxy and checks every byte against the
committed go.sum. Results live in a cache outside the work tree, named by what went into them, so that only the first
build is long.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from perfrun.devcluster.errors import DevClusterError

Report = Callable[[str], None]

MANIFESTS = Path(__file__).parent / "gotools"
_K8S_VERSION = "k8s.io/component-base/version"


@attrs.frozen
class GoTool:
    """One Go module and the programs that are built from it."""

    name: str
    version: str
    packages: tuple[str, ...]
    binaries: tuple[str, ...]
    minutes: str
    tags: str = ""
    stamps: tuple[str, ...] = ()

    @property
    def manifest(self) -> Path:
        """The directory of the pinned go.mod and go.sum."""
        return MANIFESTS / self.name


_CONTAINERD = ("containerd", "ctr", "containerd-shim-runc-v2")
_KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")

TOOLS: tuple[GoTool, ...] = (
    GoTool(
        name="kubernetes",
        version="1.37.2",
        packages=tuple(f"k8s.io/kubernetes/cmd/{command}" for command in _KUBERNETES),
        binaries=_KUBERNETES,
        minutes="5 minutes",
        # kubectl refuses to talk to a server whose version it cannot parse.
        stamps=(
            f"{_K8S_VERSION}.gitVersion=v1.37.2",
            f"{_K8S_VERSION}.gitMajor=1",
            f"{_K8S_VERSION}.gitMinor=37",
            f"{_K8S_VERSION}.gitTreeState=clean",
        ),
    ),
    GoTool(
        name="etcd",
        version="3.7.3",
        packages=("go.etcd.io/etcd/server/v3",),
        binaries=("etcd",),
        minutes="half a minute",
    ),
    GoTool(
        name="containerd",
        version="2.4.2",
        packages=tuple(f"github.com/containerd/containerd/v2/cmd/{command}" for command in _CONTAINERD),
        binaries=_CONTAINERD,
        minutes="1 minute",
        tags="no_btrfs no_devmapper no_zfs",
        stamps=("github.com/containerd/containerd/v2/version.Version=v2.4.2",),
    ),
    GoTool(
        name="coredns",
        version="1.15.0",
        packages=("github.com/coredns/coredns",),
        binaries=("coredns",),
        minutes="1.5 minutes",
    ),
    GoTool(
        name="helm",
        version="4.3.1",
        packages=("helm.sh/helm/v4/cmd/helm",),
        binaries=("helm",),
        minutes="1 minute",
        stamps=("helm.sh/helm/v4/internal/version.version=v4.3.1",),
    ),
    GoTool(
        name="prometheus",
        version="3.16.0",
        packages=tuple(f"github.com/prometheus/prometheus/cmd/{command}" for command in ("prometheus", "promtool")),
        binaries=("prometheus", "promtool"),
        minutes="2 minutes",
        # Only the discovery that is used: the others triple the build.
        tags="remove_all_sd enable_kubernetes_sd netgo",
        stamps=("github.com/prometheus/common/version.Version=3.16.0",),
    ),
)

# The main package of etcd's server module is named after its directory.
_RENAMED = {"server": "etcd"}


def cache_root() -> Path:
    """`$PERFRUN_CACHE`, or `~/.cache/perfrun`."""
    configured = os.environ.get("PERFRUN_CACHE")
    return Path(configured).absolute() if configured else Path.home() / ".cache" / "perfrun"


def binary(name: str, report: Report = print) -> Path:
    """The path of one program (`helm`, `kubectl`, `promtool`, ...), built first where the cache lacks it.

    Raises:
        DevClusterError: no such program, no Go, or the build failed.
    """
    tool = next((tool for tool in TOOLS if name in tool.binaries), None)
    if tool is None:
        known = ", ".join(sorted(binary for tool in TOOLS for binary in tool.binaries))
        raise DevClusterError(f"perfrun builds no program named {name!r}: it builds {known}")
    return ensure(report, only=(tool,)) / name


def ensure(report: Report = print, only: tuple[GoTool, ...] = TOOLS) -> Path:
    """Build what the cache lacks and return the directory of all programs.

    Raises:
        DevClusterError: Go is missing or too old, or a build failed.
    """
    go = _go()
    bin_dir = cache_root() / "tools" / _digest(_go_version(go)) / "bin"
    if not _missing(bin_dir, only):
        return bin_dir
    bin_dir.mkdir(parents=True, exist_ok=True)
    with _locked(bin_dir.parent / "lock", report):
        for tool in _missing(bin_dir, only):
            _build(go, tool, bin_dir, report)
    return bin_dir


def _missing(bin_dir: Path, tools: tuple[GoTool, ...]) -> list[GoTool]:
    return [tool for tool in tools if not all((bin_dir / name).is_file() for name in tool.binaries)]


def _go() -> str:
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if go is None:
        raise DevClusterError(
            "the development cluster's programs are built with Go, and there is no `go` on PATH: "
            "install Go 1.26 or newer (https://go.dev/dl) and try again"
        )
    return go


def _go_version(go: str) -> str:
    """The version that will really build: it can differ from the installed one where GOTOOLCHAIN fetches another."""
    answer = subprocess.run(
        [go, "env", "GOVERSION", "GOARCH"],
        cwd=TOOLS[0].manifest,
        env=_go_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        found = answer.stderr.strip().removeprefix("go: ").splitlines()
        raise DevClusterError(
            f"Go at {go} is too old ({found[0] if found else 'no reason given'}): install Go 1.26.7 or newer"
        )
    return answer.stdout


def _go_environment() -> dict[str, str]:
    # The user's own GOFLAGS or workspace must not change what the committed go.sum pins.
    return {**os.environ, "GOFLAGS": "", "GOWORK": "off", "CGO_ENABLED": "0"}


def _digest(go_version: str) -> str:
    content = hashlib.sha256(go_version.encode())
    for tool in TOOLS:
        content.update(repr((tool.packages, tool.tags, tool.stamps)).encode())
        for name in ("go.mod", "go.sum"):
            content.update((tool.manifest / name).read_bytes())
    return content.hexdigest()[:16]


@contextlib.contextmanager
def _locked(path: Path, report: Report) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("another process is building the tools: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(go: str, tool: GoTool, bin_dir: Path, report: Report) -> None:
    report(f"building {tool.name} {tool.version} (first time only, about {tool.minutes} on 2 cores) ...")
    started = time.monotonic()
    ldflags = " ".join(("-s", "-w", *(f"-X {stamp}" for stamp in tool.stamps)))
    with tempfile.TemporaryDirectory(prefix=".building-", dir=bin_dir.parent) as scratch:
        command = [go, "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-tags", tool.tags]
        command += ["-ldflags", ldflags, "-o", f"{scratch}/", *tool.packages]
        build = subprocess.run(
            command, cwd=tool.manifest, env=_go_environment(), capture_output=True, text=True, check=False
        )
        if build.returncode != 0:
            last = "\n".join(build.stderr.strip().splitlines()[-5:])
            raise DevClusterError(f"building {tool.name} {tool.version} from {tool.manifest} failed: {last}")
        for built in Path(scratch).iterdir():
            built.rename(bin_dir / _RENAMED.get(built.name, built.name))
    report(f"built {tool.name} {tool.version} in {time.monotonic() - started:.0f} s")
