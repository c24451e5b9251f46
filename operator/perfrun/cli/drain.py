"""``perfrun drain``: nothing that perfrun started goes on, for whoever is about to take the operator away.

The chart runs it before it uninstalls. It asks and waits, and leaves the doing to the operator, who knows how each
run is undone: one that is Restoring is waited for, as its faults are not proven undone yet.
"""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any, Final

import typer

from perfrun.adapters.api import NotFound, Refused
from perfrun.api.durations import seconds
from perfrun.api.run import Phase
from perfrun.cli.access import Access, ContextOption, KubeconfigOption, connected, path
from perfrun.cli.progress import Progress
from perfrun.cli.stop import TIMED_OUT, Stop
from perfrun.ports import Conflict, Unavailable

app = typer.Typer(add_completion=False)

_EVERY: Final = 0.5
_MOST: Final = 5
_FINISHED: Final = {phase.value for phase in Phase if phase.finished}


@app.command()
def drain(
    namespace: Annotated[
        list[str] | None, typer.Option("--namespace", "-n", help="Namespace; repeatable; without it, all.")
    ] = None,
    timeout: Annotated[str, typer.Option(help="Longest time to wait, such as 90s.")] = "2m",
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Cancel every run and wait until all are finished; exit 0, or 124 when the time is up."""
    try:
        patience = seconds(timeout)
    except ValueError as error:
        raise Stop(f"--timeout: {error}") from error

    async def work() -> int:
        async with connected(kubeconfig, context, None) as access:
            with Progress("drain") as progress:
                return await _drain(access, namespace or [], patience, progress)

    raise typer.Exit(asyncio.run(work()))


async def _drain(access: Access, namespaces: list[str], patience: float, progress: Progress) -> int:
    deadline = time.monotonic() + patience
    while True:
        try:
            going = await _unfinished(access, namespaces)
            for run in going:
                await _cancel(access, run)
            if not going:
                progress.tell("no run is going on")
                return 0
            progress.tell(f"waiting for {'; '.join(map(_told, going[:_MOST]))}{_more(len(going) - _MOST)}")
        except Unavailable as error:
            progress.tell(str(error))
        if time.monotonic() >= deadline:
            progress.tell("the time is up; perfrun chaos list shows what is left, and perfrun chaos undo ends it")
            return TIMED_OUT
        await asyncio.sleep(_EVERY)


def _told(run: dict[str, Any]) -> str:
    """Return a run with what it is doing, in a few words."""
    metadata, status = run["metadata"], run.get("status") or {}
    phase, message = status.get("phase") or Phase.PENDING.value, status.get("message") or ""
    doing = f"{phase}: {message}" if message else phase
    return f"{metadata['namespace']}/{metadata['name']} ({doing})"


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


async def _unfinished(access: Access, namespaces: list[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    everywhere: list[str | None] = [None]
    for namespace in namespaces or everywhere:
        try:
            found += (await access.api.get(path("PerfRun", namespace))).get("items", [])
        except NotFound:
            continue
        except Refused as error:
            raise Stop(f"the API server refuses to list runs: {error}") from error
    return [each for each in found if (each.get("status") or {}).get("phase") not in _FINISHED]


async def _cancel(access: Access, run: dict[str, Any]) -> None:
    metadata = run["metadata"]
    if run["spec"].get("cancel"):
        return
    try:
        await access.api.merge(path("PerfRun", metadata["namespace"], metadata["name"]), {"spec": {"cancel": True}})
    except (NotFound, Conflict):
        return
