"""``perfrun gate``: a pipeline's step that waits for a verdict and exits with it."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import time
from enum import StrEnum
from typing import Annotated, Any, Final

import attrs
import typer
from rich.console import Console
from rich.text import Text

from perfrun.adapters.reading import run_of
from perfrun.api.durations import seconds
from perfrun.api.verdicts import Verdict
from perfrun.cli import show
from perfrun.cli.access import Access, ContextOption, KubeconfigOption, NamespaceOption, connected, missing
from perfrun.cli.progress import Progress
from perfrun.cli.stop import EXIT_CODES, TIMED_OUT, Stop
from perfrun.cli.waiting import Standing, standing
from perfrun.lifecycle.values import Kind
from perfrun.ports import Unavailable

app = typer.Typer(add_completion=False)

_EVERY: Final = 0.5
_SPELT: Final[dict[str, Kind]] = {
    "perffeature": "PerfFeature", "perffeatures": "PerfFeature", "pf": "PerfFeature",
    "perfrun": "PerfRun", "perfruns": "PerfRun", "pr": "PerfRun",
}  # fmt: skip


class Format(StrEnum):
    """How the verdict is told."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"


@attrs.frozen
class End:
    """How waiting ended; no verdict means that the time was up."""

    kind: Kind
    name: str
    standing: Standing
    stored: dict[str, Any] | None = None


@app.command()
def gate(
    name: Annotated[str, typer.Argument(help="Name, or kind/name as kubectl writes it.")],
    kind: Annotated[str | None, typer.Option(help="perffeature or perfrun; without it, whichever is there.")] = None,
    namespace: NamespaceOption = None,
    timeout: Annotated[str, typer.Option(help="Longest time to wait, such as 90s or 10m.")] = "10m",
    format: Annotated[Format, typer.Option(help="How to tell the verdict.")] = Format.TEXT,  # noqa: A002 -- the option's name
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Wait for a verdict; exit 0 Pass, 1 Fail, 2 Inconclusive, 3 Error or bad use, 124 time-out."""
    wanted, plain = _named(name, kind)
    try:
        patience = seconds(timeout)
    except ValueError as error:
        raise Stop(f"--timeout: {error}") from error

    async def work() -> int:
        async with connected(kubeconfig, context, namespace) as access:
            with Progress(name) as progress:
                end = await wait(access, wanted, plain, patience, progress)
            await _tell(access, end, format)
            return TIMED_OUT if end.standing.verdict is None else EXIT_CODES[end.standing.verdict]

    raise typer.Exit(asyncio.run(work()))


async def wait(access: Access, kind: Kind | None, name: str, patience: float, progress: Progress) -> End:
    """Wait until there is a verdict that counts, the object is gone, or ``patience`` seconds are over.

    Raises:
        Stop: there is no such object, or no permission to see it.
    """
    deadline = time.monotonic() + patience
    found = kind
    uid = ""
    last = Standing("the API server did not answer")
    while True:
        try:
            found, stored = await _look(access, found, name)
            if stored is None and not uid:
                raise await missing(access, kind or "PerfFeature", name)
            if stored is None or (uid and stored["metadata"]["uid"] != uid):
                gone = (
                    "it was deleted while the gate waited"
                    if stored is None
                    else "it was replaced by another of its name"
                )
                return End(found or "PerfFeature", name, Standing(gone, Verdict.ERROR))
            uid = stored["metadata"]["uid"]
            last = standing(stored, dt.datetime.now(dt.UTC))
            if last.verdict is not None:
                return End(found or "PerfFeature", name, last, stored)
        except Unavailable as error:
            last = Standing(str(error))
        progress.tell(last.message)
        if time.monotonic() >= deadline:
            return End(found or "PerfFeature", name, last)
        await asyncio.sleep(min(_EVERY, max(0.0, deadline - time.monotonic())))


async def _look(access: Access, kind: Kind | None, name: str) -> tuple[Kind | None, dict[str, Any] | None]:
    kinds: tuple[Kind, ...] = (kind,) if kind is not None else ("PerfFeature", "PerfRun")
    for each in kinds:
        stored = await access.read(each, name)
        if stored is not None:
            return each, stored
    return kind, None


async def _tell(access: Access, end: End, form: Format) -> None:
    console = Console(highlight=False)
    verdict = end.standing.verdict
    if form is Format.JSON:
        document = {
            "kind": end.kind, "name": end.name, "namespace": access.namespace, "run": end.standing.run,
            "verdict": verdict, "message": end.standing.message, "timedOut": verdict is None,
        }  # fmt: skip
        console.out(json.dumps(document, indent=2), highlight=False)
        return
    if form is Format.JUNIT and end.standing.run:
        stored = await access.read("PerfRun", end.standing.run)
        if stored is not None:
            show.render(show.Evidence(end.name, run_of(stored).status), show.Format.JUNIT, console)
            return
    word = Text("time-out", style="bold yellow") if verdict is None else Text(verdict.value, style=show.STYLES[verdict])
    console.print(Text.assemble((f"{end.name}: ", "bold"), word, f"  {end.standing.message}"))


def _named(name: str, kind: str | None) -> tuple[Kind | None, str]:
    before, slash, after = name.partition("/")
    spelt = before if slash else kind
    if spelt is None:
        return None, name
    if spelt.lower() not in _SPELT:
        raise Stop(f"kind {spelt!r} has no verdict; expected perffeature or perfrun")
    return _SPELT[spelt.lower()], after if slash else name
