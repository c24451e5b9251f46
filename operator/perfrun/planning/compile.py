"""A feature that was read → the plan of a run, or every reason why this target cannot serve it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from perfrun.api.feature import Policy
from perfrun.api.plan import Claim, Plan, PlannedScenario, PlannedStep, Stage
from perfrun.api.target import TargetSpec
from perfrun.capabilities.base import PlanError, ScenarioPlan, Settings
from perfrun.capabilities.registry import capability, vocabularies
from perfrun.language.model import Cell, Feature, Role, Scenario, Step
from perfrun.language.read import read_feature

MAX_SCENARIOS: Final = 200
"""Most scenarios of one run: its status, every step included, must fit into one Kubernetes object."""

_LASTING: Final = ("pod", "observe", "load")
"""Kinds of stages whose time is what named metrics that join a scenario are asked about."""

_KEYWORDS: Final[Mapping[Role, str]] = {"context": "Given", "action": "When", "outcome": "Then"}


def plan(text: str, target: TargetSpec, tags: str = "", policy: Policy | None = None) -> Plan:
    """Read a feature text and return its plan.

    Raises:
        FeatureErrors: the text is no feature that can be run; every problem is listed.
        PlanError: the target lacks something that the feature needs.
    """
    feature = read_feature(text, vocabularies(target), tags)
    return compile_plan(feature, target, policy or Policy())


def compile_plan(feature: Feature, target: TargetSpec, policy: Policy) -> Plan:
    """Return the plan of a feature.

    Raises:
        PlanError: the feature selects no scenario or too many, or the target lacks something; all reasons at once.
    """
    count = len(feature.scenarios)
    if count == 0:
        msg = "the feature has no scenario to run; add one, or widen the tag expression that selects them"
        raise PlanError(msg)
    if count > MAX_SCENARIOS:
        msg = (
            f"the feature selects {count} scenarios and one run takes at most {MAX_SCENARIOS}; "
            "narrow it with tags or split the feature"
        )
        raise PlanError(msg)
    compiled, problems = [], []
    for index, scenario in enumerate(feature.scenarios):
        settings = Settings(index=index, confidence=policy.confidence)
        try:
            compiled.append(_scenario(scenario, target, settings))
        except PlanError as error:
            problems.append(f"line {scenario.location.line}: {error}")
    if problems:
        raise PlanError("\n".join(dict.fromkeys(problems)))
    prometheus = target.prometheus.to_wire() if target.prometheus is not None else None
    return Plan(
        scenarios=tuple(planned for planned, _ in compiled),
        stages=tuple(stage for _, stages in compiled for stage in stages),
        confidence=policy.confidence,
        prometheus=prometheus,
    )


def _scenario(scenario: Scenario, target: TargetSpec, settings: Settings) -> tuple[PlannedScenario, tuple[Stage, ...]]:
    stages: list[Stage] = []
    claims: dict[int, Claim | tuple[Claim, ...]] = {}
    for name in _capabilities(scenario):
        joined = attrs.evolve(settings, after=next((each.id for each in reversed(stages) if each.kind in _LASTING), ""))
        part = _part(name, scenario, target, joined)
        if part is None:
            return _planned(scenario, {}, not_implemented=name), ()
        stages.extend(part.stages)
        claims.update(part.claims)
    return _planned(scenario, claims), tuple(stages)


def _capabilities(scenario: Scenario) -> tuple[str, ...]:
    """Return the capabilities that answer for a scenario: its own first, then those whose claims join it."""
    joining = (step.meaning.capability for step in scenario.steps if step.role == "outcome" and step.meaning)
    return tuple(dict.fromkeys(name for name in (scenario.capability, *joining) if name))


def _part(name: str, scenario: Scenario, target: TargetSpec, settings: Settings) -> ScenarioPlan | None:
    owner = capability(name)
    if owner is None:
        msg = f"no capability named {name!r} is installed; install the package that provides it"
        raise PlanError(msg)
    return owner.plan(scenario, target, settings)


def _planned(
    scenario: Scenario, claims: Mapping[int, Claim | tuple[Claim, ...]], not_implemented: str = ""
) -> PlannedScenario:
    return PlannedScenario(
        name=_name(scenario),
        line=scenario.location.line,
        tags=scenario.tags,
        steps=tuple(each for index, step in enumerate(scenario.steps) for each in _steps(step, claims.get(index))),
        not_implemented=not_implemented,
    )


def _steps(step: Step, claims: Claim | tuple[Claim, ...] | None) -> tuple[PlannedStep, ...]:
    """Return a step as planned: once, or once for each row of its table where each promises something."""
    planned = PlannedStep(keyword=_KEYWORDS[step.role], text=step.text, line=step.location.line)
    if not isinstance(claims, tuple):
        return (planned.replace(claim=claims),)
    rows = step.table.rows if step.table is not None else ()
    return tuple(
        planned.replace(text=f"{step.text} {_told(row)}", line=row[0].location.line, claim=claim)
        for row, claim in zip(rows, claims, strict=True)
    )


def _told(row: tuple[Cell, ...]) -> str:
    """Return a row in words: what it is about, and the rest of it in parentheses."""
    first, *rest = (cell.text for cell in row)
    return f"{first} ({', '.join(rest)})" if rest else first


def _name(scenario: Scenario) -> str:
    """Return the scenario's name, told apart from the other rows of its outline by the row's values."""
    if not scenario.row:
        return scenario.name
    return f"{scenario.name} ({' | '.join(scenario.row.values())})"
