"""What ``make bench`` prints: what the project promises about its own speed, measured, as one table.

Every other module here has a ``run()`` that returns rows of name, median, least, most and the promised limit (0: none).
Those that need a cluster get a development cluster of this run's own, unless $KUBECONFIG names one.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.table import Table

from perfrun.devcluster import cluster

HERE = Path(__file__).parent
ROOT = HERE.parent
NEED_A_CLUSTER = ("controller",)
CLUSTER = "perfrun-bench"

Row = tuple[str, float, float, float, float]


def main() -> int:
    """Run the benchmarks that are named, or all; return 1 where a promise is not kept."""
    console = Console(stderr=True, highlight=False)
    names = sys.argv[1:] or sorted(path.stem for path in HERE.glob("*.py") if path.stem != "run")
    rows: list[Row] = []
    broken = False
    for name in sorted(names, key=lambda each: each in NEED_A_CLUSTER):
        began = time.monotonic()
        console.print(f"bench: {name} ...", markup=False)
        try:
            with _cluster(console) if name in NEED_A_CLUSTER else contextlib.nullcontext():
                rows += _load(name).run()
        except Exception as error:  # noqa: BLE001 -- one benchmark that breaks must not hide the others' figures
            console.print(f"bench: {name} broke: {type(error).__name__}: {error}", markup=False)
            broken = True
        console.print(f"bench: {name} took {time.monotonic() - began:.0f} s", markup=False)
    Console(highlight=False, width=120).print(_table(rows))
    return 1 if broken or any(_kept(row) == "no" for row in rows) else 0


@contextlib.contextmanager
def _cluster(console: Console) -> Iterator[None]:
    if os.environ.get("KUBECONFIG"):
        yield
        return
    cluster.down(CLUSTER)
    try:
        info = cluster.up(CLUSTER, 3, lambda text: console.print(f"bench: {text}", markup=False))
        os.environ["KUBECONFIG"] = str(info.kubeconfig)
        os.environ["PATH"] = f"{info.bin_dir}{os.pathsep}{os.environ['PATH']}"
        for definition in sorted((ROOT / "crds").glob("*.yaml")):
            _apply(info, definition)
        yield
    finally:
        os.environ.pop("KUBECONFIG", None)
        cluster.down(CLUSTER)


def _apply(info: cluster.ClusterInfo, definition: Path) -> None:
    subprocess.run(
        [info.kubectl, "--kubeconfig", info.kubeconfig, "apply", "--server-side", "--filename", definition],
        check=True,
        capture_output=True,
    )


def _load(name: str) -> ModuleType:
    # By path: benchmarks are no package, and their names may be those of others.
    spec = importlib.util.spec_from_file_location(f"bench_{name}", HERE / f"{name}.py")
    if spec is None or spec.loader is None or not (HERE / f"{name}.py").exists():
        raise FileNotFoundError(f"there is no benchmark named {name!r}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _kept(row: Row) -> str:
    if not row[4]:
        return "–"
    return "yes" if row[1] <= row[4] else "no"


def _table(rows: list[Row]) -> Table:
    machine = (
        f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}"
    )
    table = Table(title=f"perfrun, measured on {machine}", title_style="bold")
    table.add_column("what (milliseconds unless it says otherwise)")
    for name in ("median", "min", "max", "promised <", "kept"):
        table.add_column(name, justify="right")
    for row in rows:
        promised = f"{row[4]:.4g}" if row[4] else "–"
        table.add_row(row[0], *(f"{value:.4g}" for value in row[1:4]), promised, _kept(row))
    return table


if __name__ == "__main__":
    sys.exit(main())
