"""``perfrun report``: the evidence behind a verdict, read from the run's status."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console

from perfrun.adapters.reading import MalformedError, run_of
from perfrun.cli import show
from perfrun.cli.access import Access, ContextOption, KubeconfigOption, NamespaceOption, connected, missing
from perfrun.cli.foretold import read_forecasts
from perfrun.cli.pictures import read_pictures
from perfrun.cli.stop import Stop
from perfrun.lifecycle.values import Run
from perfrun.ports import Unavailable

app = typer.Typer(add_completion=False)


class Format(StrEnum):
    """How the evidence is shown."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"
    HTML = "html"


_FORMS = {
    Format.TEXT: show.Format.TABLE, Format.JSON: show.Format.JSON,
    Format.JUNIT: show.Format.JUNIT, Format.HTML: show.Format.HTML,
}  # fmt: skip


@app.command()
def report(
    name: Annotated[str, typer.Argument(help="Name of a PerfRun, or of a PerfFeature for its newest run.")],
    namespace: NamespaceOption = None,
    format: Annotated[Format, typer.Option(help="How to show the evidence.")] = Format.TEXT,  # noqa: A002 -- the option's name
    artifacts: Annotated[
        str,
        typer.Option(help="Directory or store with the operator's artifacts, where pictures on the page come from."),
    ] = "",
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Show what was measured, promise by promise, with limits, intervals and sources."""

    async def work() -> tuple[Run, dict[str, str]]:
        async with connected(kubeconfig, context, namespace) as access:
            try:
                run = run_of(await _find(access, name))
                return run, await read_forecasts(access, run.status)
            except Unavailable as error:
                raise Stop(str(error)) from error

    try:
        found, forecasts = asyncio.run(work())
    except MalformedError as error:
        raise Stop(f"PerfRun {name} cannot be read: {error}") from error
    pictures = read_pictures(found.status.artifacts, artifacts) if format is Format.HTML else ()
    evidence = show.Evidence(found.meta.name, found.status, pictures, forecasts)
    show.render(evidence, _FORMS[format], Console(highlight=False))


async def _find(access: Access, name: str) -> dict[str, Any]:
    run = await access.read("PerfRun", name)
    if run is not None:
        return run
    feature = await access.read("PerfFeature", name)
    if feature is None:
        raise await missing(access, "PerfRun", name)
    status = feature.get("status") or {}
    newest = status.get("activeRun") or (status.get("lastRun") or {}).get("name")
    run = await access.read("PerfRun", newest) if newest else None
    if run is None:
        raise Stop(f"PerfFeature {name} has no run yet: {status.get('message') or 'the operator has not looked at it'}")
    return run
