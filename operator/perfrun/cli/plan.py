"""``perfrun plan``: what a feature would run and what it may cost, before anything is run."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

import attrs
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from perfrun.api.plan import Plan, PlannedScenario, Stage
from perfrun.api.target import TargetSpec
from perfrun.capabilities.base import PlanError
from perfrun.capabilities.history import span
from perfrun.cli.inputs import check_feature, load_target, read_bytes
from perfrun.cli.stop import Stop
from perfrun.planning.compile import plan as compile_text
from perfrun.planning.cost import Cost, cost

app = typer.Typer(add_completion=False)

_MINUTE = 60
_HOUR = 3600
_LONGEST_TOLD = 60
_MOST_STEPS = 4


class Format(StrEnum):
    """How the plan is shown."""

    TABLE = "table"
    JSON = "json"


@app.command()
def plan(
    file: Annotated[str, typer.Argument(help="Feature file, or - for standard input.")],
    target: Annotated[str | None, typer.Option(help="File with a PerfTarget; without it, the built-in engine.")] = None,
    tags: Annotated[str, typer.Option(help="Cucumber tag expression that selects scenarios.")] = "",
    format: Annotated[Format, typer.Option(help="How to show it.")] = Format.TABLE,  # noqa: A002 -- the option's name
) -> None:
    """Show what a feature would run against a target, in pods, GPUs and seconds."""
    made = planned(file, load_target(target), tags)
    if format is Format.JSON:
        document = {"digest": made.digest(), "cost": attrs.asdict(cost(made)), "plan": made.to_wire()}
        typer.echo(json.dumps(document, indent=2))
    else:
        show(made, Console(highlight=False))


def planned(file: str, target: TargetSpec, tags: str) -> Plan:
    """Return the plan of a feature file.

    Raises:
        Stop: the feature is not sound, or the target cannot serve it.
    """
    text = check_feature(file, read_bytes(file), target, tags)
    try:
        return compile_text(text, target, tags)
    except PlanError as error:
        lines = "\n  ".join(str(error).splitlines())
        raise Stop(f"the feature cannot be planned against this target:\n  {lines}") from error


def show(made: Plan, console: Console) -> None:
    """Print the plan, scenario by scenario, with its cost below."""
    for index, scenario in enumerate(made.scenarios):
        console.print(Text.assemble((scenario.name, "bold"), (f"  line {scenario.line}", "dim")))
        console.print(_work(scenario, [stage for stage in made.stages if stage.scenario == index]))
    console.print(f"\n{summary(cost(made))}")
    console.print(f"plan {made.digest()}", style="dim")


def summary(price: Cost) -> str:
    """Return a plan's cost in one sentence."""
    pods = f"{price.pods} pod{'s' if price.pods != 1 else ''} ({price.pods_at_most} at most)"
    gpus = f"{price.gpus} GPU{'s' if price.gpus != 1 else ''} at once"
    if price.gpus:
        gpus += f" for {price.gpu_seconds:.0f} GPU-seconds ({price.gpu_seconds_at_most:.0f} at most)"
    parts = [pods, gpus, f"{price.queries} queries"]
    if price.requests:
        parts.append(f"{price.requests:.0f} requests")
    if price.failing_nodes:
        parts.append(f"{price.failing_nodes} node{'s' if price.failing_nodes != 1 else ''} failing at once")
    return f"{', '.join(parts)}; {length(price.seconds)} expected, {length(price.seconds_at_most)} at most"


def length(seconds: float) -> str:
    """Return a length of time for people: 45 s, 3 min, 24 h."""
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / _MINUTE:.0f} min" if seconds < 2 * _HOUR else f"{seconds / _HOUR:.3g} h"


def _work(scenario: PlannedScenario, stages: list[Stage]) -> Table | Text:
    if scenario.not_implemented:
        return Text(f"  not built yet: {scenario.not_implemented}; the verdict will be Inconclusive", style="dim")
    if not stages:
        return Text("  nothing to run", style="dim")
    table = Table(box=None, expand=True, padding=(0, 0, 0, 2), header_style="dim")
    table.add_column("stage", no_wrap=True)
    table.add_column("work", ratio=1)
    held = any(stage.gpus for stage in stages)
    for name in ("GPUs", *(("GPU-seconds",) if held else ()), "expected", "at most"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    for stage in stages:
        table.add_row(*_stage(stage, held=held))
    return table


def _stage(stage: Stage, *, held: bool) -> tuple[str, ...]:
    """Return a row; ``held`` says that GPU-seconds are told in it."""
    price = cost(Plan(scenarios=(), stages=(stage,)))
    gpus = (str(price.gpus), *((f"{price.gpu_seconds:.0f}",) if held else ()))
    return stage.id, _told(stage), *gpus, length(price.seconds), length(price.seconds_at_most)


def _told(stage: Stage) -> str:
    """Return what a stage does: for people where the plan of it is long, else its short parameters."""
    match stage.kind:
        case "load":
            shards = f" from {stage.shards} pods" if stage.shards > 1 else ""
            return f"load {stage.parameters['method']} {stage.parameters['url']}: {_rates(stage)}{shards}"
        case "fault":
            return _fault(stage.parameters)
        case "scale":
            return f"scale the workload to {stage.parameters['replicas']}, and back at the end"
        case "ids":
            return "read from the servers' logs which requests they answered"
        case "pod":
            return _pod(stage)
        case _:
            return _query(stage)


def _rates(stage: Stage) -> str:
    """Return the rates of a load: one by one, as a climb where there are many, or where they come from."""
    steps = _schedule(stage)
    if stage.rate_of:
        return f"the rate that {stage.rate_of} finds for {sum(each['seconds'] for each in steps):g} s"
    if len(steps) > _MOST_STEPS:
        first, last = steps[0], steps[-1]
        return f"from {first['rate']:.0f}/s to {last['rate']:.0f}/s in {len(steps)} steps of {first['seconds']:g} s"
    return ", then ".join(f"{each['rate']:g}/s for {each['seconds']:g} s" for each in steps)


def _pod(stage: Stage) -> str:
    if stage.alongside:
        return f"pod {stage.program} {stage.parameters['role']} on {_place(stage)}, along with {stage.alongside}"
    match stage.program:
        case "telemetry":
            return _telemetry(stage.parameters)
        case "forecast":
            return _forecast(stage.parameters)
        case "precision":
            return _precision(stage.parameters)
        case "memory":
            return _memory(stage.parameters)
        case _:
            return _briefly(f"pod {stage.program}", stage)


def _telemetry(told: dict[str, Any]) -> str:
    period, count = span(told["period_s"]), len(told["rows"])
    when = {
        "recorded": f"in the last {period}", "observed": f"in the next {period}",
        "auto": f"in the last {period}, or in the next where history is shorter",
    }  # fmt: skip
    types = "one type of metric" if count == 1 else f"{count} types of metrics"
    return f"judge how Prometheus has recorded {types} {when[told['window']]}"


def _forecast(told: dict[str, Any]) -> str:
    ahead = ", ".join(f"{each['name']} {span(each['horizon_s'])} ahead" for each in told["metrics"])
    return f"foretell {ahead}, tried on {told['windows']} windows of the last {span(told['lookback_s'])}"


def _precision(told: dict[str, Any]) -> str:
    what = f"the model in {told['path']}" if told["path"] else "the pretrained encoder that comes with perfrun"
    how = f"on up to {told['items']} items and in {told['rounds']} turns"
    return f"convert {what} to {told['precision']}, compare both {how}"


def _memory(told: dict[str, Any]) -> str:
    work = f"{told['batches']} batches of {told['batch_size']} prompts under way for {span(told['soak_seconds'])}"
    return f"keep {work}, and look at memory whenever all are done"


def _query(stage: Stage) -> str:
    if "offset" in stage.parameters:
        return f"query over the window of {stage.parameters['after']} from {stage.parameters['offset']:g} s on"
    return _briefly(stage.kind, stage)


def _briefly(work: str, stage: Stage) -> str:
    return " ".join([work, *(f"{name}={value}" for name, value in _telling(stage.parameters).items())])


def _place(stage: Stage) -> str:
    """Return where a pod runs that goes along with a load, as far as others decide it."""
    place = f"the node of {stage.beside}" if stage.beside else "a node"
    if stage.apart:
        place += f" other than that of {stage.apart}"
    return f"{place}, in its network" if stage.host_network else place


def _fault(told: dict[str, Any]) -> str:
    when = f"{told['offset']:g} s after the start"
    if told["kind"] != "spike":
        return f"fault {told['kind']} of {told['count']} of {told['nodes']} nodes for {told['seconds']:g} s, {when}"
    spike = told["spike"]
    if not spike["inject"]:
        return f"watch containers on {told['count']} node for latency spikes for {told['seconds']:g} s, {when}"
    kinds = ", ".join(spike["inject"])
    return f"hold containers on {told['count']} node up, {spike['rounds']} times each by {kinds}, {when}"


def _schedule(stage: Stage) -> list[dict[str, float]]:
    return list(stage.parameters["schedule"])


def _telling(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that tell a person what is run: short numbers and words, no structures."""
    short = {name: value for name, value in parameters.items() if isinstance(value, (str, int))}
    return {name: value for name, value in short.items() if len(str(value)) <= _LONGEST_TOLD}
