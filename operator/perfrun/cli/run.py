"""``perfrun run``: the plan that a cluster would execute, executed on this machine with the same decisions.

The run is driven by the operator's own ``drive``; only the cluster behind the port is another one. So whoever writes
an SLO sees on a laptop what it will say, before anyone installs anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import signal
import tempfile
import uuid
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import pydantic
import typer
from rich.console import Console

from perfrun.adapters.artifacts import FsspecArtifacts
from perfrun.adapters.clock import SystemClock
from perfrun.adapters.drive import World, drive
from perfrun.adapters.local import LocalCluster
from perfrun.adapters.prometheus import PrometheusMetrics
from perfrun.api.run import Phase, RunSpec, RunStatus
from perfrun.api.target import TargetSpec, TargetStatus
from perfrun.cli import show
from perfrun.cli.inputs import check_feature, load_target, read_bytes
from perfrun.cli.pictures import read_pictures
from perfrun.cli.progress import Progress
from perfrun.cli.stop import EXIT_CODES, TIMED_OUT, USAGE_ERROR, Stop
from perfrun.lifecycle.values import Key, Meta, Run, Target
from perfrun.ports import Conflict

app = typer.Typer(add_completion=False)

INTERRUPTED = 130
_NAMESPACE = "local"
_TARGET = "target"
_SHORTEST_WAIT = 0.02


class Format(StrEnum):
    """How the verdicts are shown."""

    TABLE = "table"
    JSON = "json"
    JUNIT = "junit"
    HTML = "html"


@app.command()
def run(
    file: Annotated[str, typer.Argument(help="Feature file, or - for standard input.")],
    target: Annotated[str | None, typer.Option(help="File with a PerfTarget; without it, the built-in engine.")] = None,
    tags: Annotated[str, typer.Option(help="Cucumber tag expression that selects scenarios.")] = "",
    format: Annotated[Format, typer.Option(help="How to show the verdicts.")] = Format.TABLE,  # noqa: A002 -- the option's name
    artifacts: Annotated[
        Path | None, typer.Option(help="Directory that keeps bulk evidence; without it, none is kept.")
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option(help="Longest time for the run, such as 90s or 3h; left out, an hour, or twice what it expects."),
    ] = None,
) -> None:
    """Execute a feature on this machine; exit 0 Pass, 1 Fail, 2 Inconclusive, 3 Error or bad use, 124 time-out."""
    spec = load_target(target)
    text = check_feature(file, read_bytes(file), spec, tags)
    name = "stdin" if file == "-" else Path(file).stem
    begun = _begin(name, text, tags, timeout)
    with Progress(name) as progress, _kept(artifacts) as folder:
        status = asyncio.run(execute(begun, spec, folder, progress))
        pictures = read_pictures(status.artifacts) if format is Format.HTML else ()
    if artifacts is None:
        status = status.replace(artifacts=())
    show.render(show.Evidence(name, status, pictures), show.Format(format.value), Console(highlight=False))
    raise typer.Exit(exit_code(status))


def exit_code(status: RunStatus) -> int:
    """Return the exit code of a finished run."""
    if status.phase is Phase.CANCELLED:
        return INTERRUPTED
    if status.ending == "TimedOut" and status.phase is Phase.INCONCLUSIVE:
        return TIMED_OUT
    return EXIT_CODES.get(status.verdict or "", USAGE_ERROR)


async def execute(run: Run, target: TargetSpec, folder: Path, progress: Progress) -> RunStatus:
    """Drive the run until it is finished and return its status; no process is left, however this ends."""
    clock = SystemClock()
    artifacts = FsspecArtifacts(folder.as_uri())
    owner = Target(Meta(_TARGET, _NAMESPACE, _TARGET), target, TargetStatus())
    cluster = LocalCluster(run, owner, artifacts, clock, watch=lambda now: progress.tell(now.status.message))
    world = World(cluster, PrometheusMetrics(), artifacts, clock)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, cluster.cancel)
    key = Key("PerfRun", run.meta.namespace, run.meta.name)
    try:
        while not cluster.current.status.phase.finished:
            cluster.changed.clear()
            with contextlib.suppress(Conflict):
                due = await drive(key, world)
                await _wait(cluster, due, clock)
    finally:
        await cluster.close()
    return cluster.current.status


async def _wait(cluster: LocalCluster, due: dt.datetime | None, clock: SystemClock) -> None:
    """Wait until something happened or the decision wants to look again."""
    if cluster.current.status.phase.finished:
        return
    pause = None if due is None else max(_SHORTEST_WAIT, (due - clock.now()).total_seconds())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(pause):
            await cluster.changed.wait()


def _begin(name: str, text: str, tags: str, timeout: str | None) -> Run:
    try:
        spec = RunSpec(feature=text, target_ref=_TARGET, tags=tags, timeout=timeout)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = "--timeout" if first["loc"] == ("timeout",) else ".".join(str(part) for part in first["loc"])
        raise Stop(f"{place}: {first['msg'].removeprefix('Value error, ')}") from error
    return Run(Meta(name, _NAMESPACE, f"{name}-{uuid.uuid4().hex[:12]}"), spec, RunStatus())


@contextlib.contextmanager
def _kept(artifacts: Path | None) -> Iterator[Path]:
    if artifacts is not None:
        try:
            artifacts.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Stop(
                f"--artifacts {artifacts} cannot be made: {error.strerror or error}; name a directory"
            ) from error
        yield artifacts.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="perfrun-") as folder:
        yield Path(folder)
