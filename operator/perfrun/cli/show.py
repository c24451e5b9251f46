"""A run's evidence in the forms that people and machines read: a table, JUnit XML, JSON, HTML.

All of them are projections of the run's status, so a verdict reads the same wherever it is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from functools import partial
from importlib import resources
from typing import Final
from xml.etree import ElementTree as ET

import attrs
import jinja2
from rich.console import Console
from rich.table import Table
from rich.text import Text

from perfrun.api.run import RunStatus, ScenarioStatus, StepStatus
from perfrun.api.verdicts import Verdict
from perfrun.cli.foretold import forecast_lines
from perfrun.cli.pictures import Picture
from perfrun.judging.wording import SYMBOLS, limit_number, number, quantity
from perfrun.lifecycle.saving import saved_lines
from perfrun.lifecycle.telling import fault_line, scaling_line

STYLES: Final = {
    Verdict.PASS: "bold green",
    Verdict.FAIL: "bold red",
    Verdict.ERROR: "bold magenta",
    Verdict.INCONCLUSIVE: "bold yellow",
    Verdict.SKIPPED: "dim",
}
"""How verdicts look on a terminal."""

_TOLD_FACTS: Final = ("device_name", "device", "dtype", "parameters", "engine", "server", "batch_size", "torch")

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Format(StrEnum):
    """Forms of a run's evidence."""

    TABLE = "table"
    JSON = "json"
    JUNIT = "junit"
    HTML = "html"


@attrs.frozen
class Evidence:
    """A run's status with the name that heads it, and the pictures among its bulk evidence that a page shows.

    ``forecasts`` says in a sentence what became of forecasts that the run made, by their names, as far as it is known.
    """

    title: str
    status: RunStatus
    pictures: tuple[Picture, ...] = ()
    forecasts: Mapping[str, str] = attrs.field(factory=dict)


def render(evidence: Evidence, form: Format, console: Console) -> None:
    """Print the evidence; structured forms are printed as they are, whatever the terminal's width."""
    if form is Format.TABLE:
        table(evidence, console)
    else:
        console.out({Format.JSON: as_json, Format.JUNIT: junit, Format.HTML: html}[form](evidence), highlight=False)


def as_json(evidence: Evidence) -> str:
    """Return the whole status as JSON."""
    return json.dumps({"name": evidence.title, "status": evidence.status.to_wire()}, indent=2)


def table(evidence: Evidence, console: Console) -> None:
    """Print a heading, a table of every promise with its evidence, and what was measured on what."""
    status = evidence.status
    console.print(headline(evidence))
    for index, scenario in enumerate(status.scenarios):
        console.print()
        console.print(
            _verdict(scenario.verdict), Text(scenario.name, style="bold"), Text(f"line {scenario.line}", style="dim")
        )
        if scenario.reason == "NotImplemented" or not any(_shown(step) for step in scenario.steps):
            console.print(Text(f"  {scenario.message}", style="dim"))
        else:
            console.print(_steps(scenario))
            if told := setting(scenario):
                console.print(Text(f"  on {told}", style="dim"))
        _changes([*changes(status, index), *files(status, index)], console)
    if rest := [*changes(status, None), *forecast_lines(status, evidence.forecasts)]:
        console.print()
        _changes(rest, console)


def changes(status: RunStatus, scenario: int | None) -> list[str]:
    """Return what was done for a judged scenario, and not needed, a line each; None is for what belongs to none."""
    stages = status.frozen.plan.stages if status.frozen is not None else ()
    places = {stage.id: stage.scenario for stage in stages if stage.scenario < len(status.scenarios)}
    lines = [f"fault: {fault_line(fault)}" for fault in status.faults if places.get(fault.id) == scenario]
    if scenario is not None:
        lines += [f"saved: {line}" for line in saved_lines(status, scenario)]
    if scenario is None and status.scaling is not None:
        lines.append(f"scaling: {scaling_line(status.scaling)}")
    return lines


def files(status: RunStatus, scenario: int) -> list[str]:
    """Return the traces and pictures of a scenario, a line each with its place."""
    found = [each for each in status.artifacts if _belongs(each.name, status, scenario)]
    return [f"file: {each.name} ({each.bytes} bytes) {each.url}" for each in found]


def pictures(evidence: Evidence, scenario: int) -> list[Picture]:
    """Return the pictures of a scenario."""
    return [each for each in evidence.pictures if _belongs(each.name, evidence.status, scenario)]


def _belongs(name: str, status: RunStatus, scenario: int) -> bool:
    """Return whether a file is a scenario's; files are named ``STAGE.NAME``."""
    stages = status.frozen.plan.stages if status.frozen is not None else ()
    stage, dot, _ = name.partition(".")
    return bool(dot) and any(each.id == stage and each.scenario == scenario for each in stages)


def headline(evidence: Evidence) -> Text:
    """Return the verdict on the run in one line."""
    status = evidence.status
    verdict = status.verdict
    line = Text.assemble((evidence.title, "bold"), ": ")
    line.append_text(_verdict(verdict) if verdict is not None else Text(status.phase.value, style="bold"))
    if status.summary:
        line.append(f"  {status.summary} scenarios passed")
    if status.duration:
        line.append(f" in {status.duration}")
    if status.saved:
        line.append(f", {status.saved} saved")
    if status.message:
        line.append(f"\n{status.message}")
    return line


def measured(step: StepStatus) -> str:
    """Return the measured value with its unit, or nothing."""
    return "" if step.value is None else quantity(step.value, step.unit or "")


def limit(step: StepStatus) -> str:
    """Return the limit as promised, such as ``< 10 ms``."""
    if step.limit is None or step.comparator is None:
        return ""
    return f"{SYMBOLS[step.comparator]} {limit_number(step.limit)} {step.unit or ''}".rstrip()


def bounds(step: StepStatus) -> str:
    """Return the confidence interval, such as ``11.9 … 12.8``, or nothing."""
    if step.lower is None and step.upper is None:
        return ""
    ends = ["?" if bound is None else number(bound) for bound in (step.lower, step.upper)]
    return ends[0] if ends[0] == ends[1] else " … ".join(ends)


def facts(step: StepStatus) -> str:
    """Return what was measured on what, in one line."""
    return ", ".join(f"{name} {value}" for name, value in sorted(step.facts.items()))


def junit(evidence: Evidence) -> str:
    """Return JUnit XML: a test case for every promise.

    What could not be told is an error there, not a skip: build servers take skipped for good.
    """
    cases = [
        (scenario, step)
        for scenario in evidence.status.scenarios
        for step in scenario.steps or (None,)
        if step is None or _shown(step)
    ]
    suite = ET.Element("testsuite", name=evidence.title, tests=str(len(cases)))
    counts = {"failure": 0, "error": 0}
    for scenario, step in cases:
        verdict, message = (step.verdict, step.message) if step else (scenario.verdict, scenario.message)
        case = ET.SubElement(
            suite, "testcase", classname=_xml(scenario.name), name=_xml(step.text if step else scenario.name)
        )
        if verdict is Verdict.SKIPPED:
            ET.SubElement(case, "skipped", message=_xml(message))
        elif verdict is not Verdict.PASS:
            kind = "failure" if verdict is Verdict.FAIL else "error"
            counts[kind] += 1
            ET.SubElement(case, kind, type=verdict.value, message=_xml(message)).text = _xml(message)
        else:
            ET.SubElement(case, "system-out").text = _xml(message)
    if not cases:
        counts["error"] = 1
        case = ET.SubElement(suite, "testcase", classname=_xml(evidence.title), name="run")
        ET.SubElement(case, "error", type=evidence.status.reason or "Error", message=_xml(evidence.status.message))
        suite.set("tests", "1")
    suite.set("failures", str(counts["failure"]))
    suite.set("errors", str(counts["error"]))
    ET.indent(suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suite, encoding="unicode")


def html(evidence: Evidence) -> str:
    """Return one self-contained page."""
    source = resources.files("perfrun.cli").joinpath("report.html.j2").read_text(encoding="utf-8")
    page = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    page.filters |= {"measured": measured, "limit": limit, "bounds": bounds, "facts": facts}
    return page.from_string(source).render(
        title=evidence.title, status=evidence.status, changes=changes, pictures=partial(pictures, evidence),
        forecasts=forecast_lines(evidence.status, evidence.forecasts),
    )  # fmt: skip


def setting(scenario: ScenarioStatus) -> str:
    """Return on what a scenario was measured, as far as people ask first; all facts are in the other forms."""
    known: dict[str, object] = {}
    for step in scenario.steps:
        known |= step.facts
    told = [f"{name.replace('_', ' ')} {known[name]}" for name in _TOLD_FACTS if name in known]
    return ", ".join(told)


def _changes(lines: list[str], console: Console) -> None:
    for line in lines:
        console.print(Text(f"  {line}", style="dim"))


def _steps(scenario: ScenarioStatus) -> Table:
    rows = Table(box=None, padding=(0, 0, 0, 2), show_header=False)
    rows.add_column(no_wrap=True)
    rows.add_column()
    for step in scenario.steps:
        if _shown(step):
            rows.add_row(_verdict(step.verdict), Text.assemble(step.text, "\n", (step.message, "dim")))
    return rows


def _shown(step: StepStatus) -> bool:
    return step.keyword == "Then" or step.verdict not in (Verdict.PASS, Verdict.SKIPPED)


def _verdict(verdict: Verdict) -> Text:
    return Text(verdict.value, style=STYLES[verdict])


def _xml(text: str) -> str:
    return _NO_XML.sub("�", text)
