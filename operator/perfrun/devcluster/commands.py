"""`perfrun dev`: the development cluster on the command line."""

import contextlib
import json
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import attrs
import typer
from rich.console import Console
from rich.table import Table

from perfrun.devcluster import cluster
from perfrun.devcluster.cluster import ClusterInfo
from perfrun.devcluster.errors import DevClusterError
from perfrun.devcluster.health import ClusterHealth
from perfrun.devcluster.layout import DEFAULT_NAME

app = typer.Typer(
    name="dev",
    help="A real many-node Kubernetes on this machine, as root, for development and tests; `down` leaves nothing.",
    no_args_is_help=True,
    add_completion=False,
)

Name = Annotated[str, typer.Option("--name", help="Clusters of different names live side by side.")]
_MIB = 2**20


class Format(StrEnum):
    """How `status` prints."""

    TABLE = "table"
    JSON = "json"


def _say(text: str) -> None:
    # Progress is not the command's result: scripts read that from standard output.
    typer.echo(text, err=True)


@contextlib.contextmanager
def _one_sentence() -> Iterator[None]:
    try:
        yield
    except DevClusterError as error:
        _say(f"error: {error}")
        raise typer.Exit(1) from error


@app.command()
def up(
    nodes: Annotated[int, typer.Option("--nodes", help="How many nodes, 1 to 64.")] = 3,
    name: Name = DEFAULT_NAME,
    gpu_capacity: Annotated[
        list[str] | None,
        typer.Option(
            "--gpu-capacity", metavar="NODE=COUNT", help="GPUs that exist for the scheduler only; repeatable."
        ),
    ] = None,
) -> None:
    """Bring a cluster up and wait until pods, Services, DNS and Prometheus work."""
    with _one_sentence():
        started = time.monotonic()
        info = cluster.up(name, nodes, _say, _parse_gpus(gpu_capacity or []))
        _say(f"up in {time.monotonic() - started:.1f} s")
        typer.echo(f"export KUBECONFIG={info.kubeconfig}")


def _parse_gpus(given: list[str]) -> dict[str, int]:
    parsed = {}
    for pair in given:
        node, equals, count = pair.partition("=")
        if not equals or not count.isdecimal():
            raise DevClusterError(f"--gpu-capacity {pair}: expected a node and a count, for example node1=8")
        parsed[node] = int(count)
    return parsed


@app.command()
def down(
    name: Name = DEFAULT_NAME,
    every: Annotated[bool, typer.Option("--all", help="Take every cluster down.")] = False,
) -> None:
    """Take a cluster down, running or half made, with everything that belongs to it."""
    with _one_sentence():
        for each in cluster.names() if every else [name]:
            started = time.monotonic()
            existed = cluster.down(each)
            took = f"down in {time.monotonic() - started:.1f} s" if existed else "was not there: nothing to do"
            _say(f"cluster {each!r} {took}")


@app.command()
def status(
    name: Name = DEFAULT_NAME,
    output: Annotated[Format, typer.Option("--format", help="table or json.")] = Format.TABLE,
) -> None:
    """Show whether the cluster works and how to reach it; exit 1 where it does not."""
    with _one_sentence():
        health, info = cluster.health(name), cluster.info(name)
        if output is Format.JSON:
            typer.echo(json.dumps(_document(info, health), indent=2))
        else:
            _print_table(info, health)
        if not health.healthy(info.nodes):
            raise typer.Exit(1)


def _document(info: ClusterInfo, health: ClusterHealth) -> dict[str, Any]:
    return {
        "name": info.name,
        "healthy": health.healthy(info.nodes),
        "apiServer": {"url": info.server, "ready": health.api_ready},
        "prometheus": {"url": info.prometheus_url, "ready": health.prometheus_ready},
        "kubeconfig": str(info.kubeconfig),
        "tools": str(info.bin_dir),
        "ageSeconds": round(time.time() - info.created),
        "nodes": [attrs.asdict(node) for node in health.nodes],
    }


def _print_table(info: ClusterInfo, health: ClusterHealth) -> None:
    table = Table("", "", "", box=None, show_header=False)
    table.add_row("cluster", info.name, f"up for {time.time() - info.created:.0f} s")
    table.add_row("API server", _ready(health.api_ready), info.server)
    table.add_row("Prometheus", _ready(health.prometheus_ready), info.prometheus_url)
    for node in health.nodes:
        gpus = f", {node.gpus} GPUs for scheduling only" if node.gpus else ""
        offer = f"{node.cpu_milli / 1000:.2f} CPUs, {node.memory_bytes // _MIB} MiB for pods{gpus}"
        table.add_row(node.name, _ready(node.ready), offer)
    table.add_row("kubeconfig", "", str(info.kubeconfig))
    table.add_row("kubectl, helm", "", str(info.bin_dir))
    Console(soft_wrap=True).print(table)


def _ready(ready: bool) -> str:
    return "[green]ready[/green]" if ready else "[red]not ready[/red]"


@app.command()
def kubeconfig(name: Name = DEFAULT_NAME) -> None:
    """Print the path of the administrator's kubeconfig, and nothing else."""
    with _one_sentence():
        typer.echo(cluster.info(name).kubeconfig)


@app.command("load-image")
def load_image(
    archive: Annotated[Path, typer.Argument(help="An OCI or Docker image archive, as `docker save` writes.")],
    name: Name = DEFAULT_NAME,
) -> None:
    """Import an image into every node and print the names by which pods can ask for it."""
    with _one_sentence():
        for reference in cluster.load_image(archive, name, _say):
            typer.echo(reference)
