"""``perfrun chaos``: which faults are in the cluster, and an end to them, whatever became of the operator.

It is for the hour when something is wrong and nobody remembers what was set up: it finds everything by itself, prints
a line for each thing that it does, and is done only when nothing is left.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import sys
import time
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from perfrun.api.durations import seconds
from perfrun.cli.access import ContextOption, KubeconfigOption, connected
from perfrun.cli.allclear import Agents, Tell, Wanted, undo_all
from perfrun.cli.leftovers import Leftover
from perfrun.cli.looking import Look, look
from perfrun.cli.stop import TIMED_OUT, Stop
from perfrun.ports import Unavailable

app = typer.Typer(add_completion=False, no_args_is_help=True)

_WIDE: Final = 220
"""Columns where the output is no terminal: lines that are cut there would be lost."""


class Format(StrEnum):
    """How faults are listed."""

    TABLE = "table"
    JSON = "json"


@app.command("list")
def show(
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Only runs of this namespace.")] = None,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="All namespaces, as without -n.")] = False,
    output: Annotated[Format, typer.Option("--output", "-o", help="How to list them.")] = Format.TABLE,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """List every fault that is not proven undone, and what faults left behind without a run."""
    wanted = Wanted(namespace="" if everywhere else namespace or "")

    async def work() -> Look:
        async with connected(kubeconfig, context, namespace) as access:
            return await look(access.api)

    try:
        found = asyncio.run(work())
    except Unavailable as error:
        raise Stop(str(error)) from error
    rows = [row for row in found.rows if wanted.meets(row)]
    if output is Format.JSON:
        typer.echo(as_json(rows, found.unseen))
        return
    if rows:
        console = Console(highlight=False)
        console = console if console.is_terminal else Console(highlight=False, width=_WIDE)
        console.print(as_table(rows))
    else:
        typer.echo("no fault is under way, and nothing is left of any")
    for each in found.unseen:
        typer.echo(f"not looked at: {each}", err=True)


@app.command()
def undo(
    names: Annotated[
        list[str] | None, typer.Argument(help="Runs as chaos list names them: NAMESPACE/NAME, NAME, or a uid.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything that chaos list shows.")] = False,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="Namespace of NAMEs; with --all, only this one.")
    ] = None,
    timeout: Annotated[str, typer.Option(help="Longest time to wait, such as 90s or 10m.")] = "5m",
    force: Annotated[bool, typer.Option("--force", help="Do the work here, even if an operator is at work.")] = False,
    agent_namespace: Annotated[str, typer.Option(help="Namespace of fault agents, if nothing tells it.")] = "",
    agent_image: Annotated[str, typer.Option(help="Image of fault agents, if nothing tells it.")] = "",
    agent_command: Annotated[str, typer.Option(help="Command of fault agents, if nothing tells it.")] = "",
    agent_runtime_class: Annotated[str, typer.Option(help="RuntimeClass of fault agents, if nothing tells it.")] = "",
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """End faults and prove them undone; exit 0 when nothing is left, 124 when the time is up, 3 for bad use."""
    if bool(names) == everything:
        raise Stop("say what to undo: the names of runs, or --all")
    try:
        patience = seconds(timeout)
    except ValueError as error:
        raise Stop(f"--timeout: {error}") from error
    flags = Agents(agent_namespace, agent_image, agent_command, agent_runtime_class)

    async def work() -> int:
        async with connected(kubeconfig, context, namespace) as access:
            wanted = Wanted(_spelt(names or [], access.namespace), "" if names else namespace or "")
            return await undo_all(access, wanted, patience, force, flags, _teller())

    try:
        code = asyncio.run(work())
    except Unavailable as error:
        typer.echo(f"perfrun: {error}; after {patience:.0f} s nothing is known to be undone", err=True)
        code = TIMED_OUT
    raise typer.Exit(code)


def as_json(rows: Sequence[Leftover], unseen: Sequence[str]) -> str:
    """Return what is left as JSON."""
    faults = [
        {
            "run": row.run, "uid": row.uid, "fault": row.fault, "kind": row.kind, "backend": row.backend,
            "nodes": row.nodes, "state": row.state, "since": row.since and row.since.isoformat(),
            "endsAt": row.until and row.until.isoformat(), "remains": row.remains,
        }
        for row in rows
    ]  # fmt: skip
    return json.dumps({"faults": faults, "notLookedAt": list(unseen)}, indent=2)


def as_table(rows: Sequence[Leftover]) -> Table:
    """Return what is left as a table."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("RUN", "FAULT", "KIND", "BACKEND", "NODES", "STATE", "SINCE", "ENDS"):
        table.add_column(name, overflow="fold")
    table.add_column("REMAINS", ratio=1, overflow="fold")
    for row in rows:
        table.add_row(
            row.run, row.fault or "–", row.kind or "–", row.backend or "–", " ".join(row.nodes) or "–", row.state,
            _moment(row.since), _moment(row.until), "\n".join(row.remains),
        )  # fmt: skip
    return table


def _moment(moment: dt.datetime | None) -> str:
    return moment.astimezone(dt.UTC).strftime("%m-%d %H:%M:%SZ") if moment is not None else "–"


def _spelt(names: Sequence[str], namespace: str) -> frozenset[str]:
    # A uid has no namespace; as nobody names a run like one, both readings are kept.
    return frozenset(each for name in names for each in ((name,) if "/" in name else (name, f"{namespace}/{name}")))


def _teller() -> Tell:
    began = time.monotonic()

    def tell(text: str) -> None:
        sys.stdout.write(f"{time.monotonic() - began:6.1f} s  {text}\n")
        sys.stdout.flush()

    return tell
