"""Latency spikes: how soon one is detected, its container identified, the kernel's part located and a trace made.

Normal load is on the Service. An agent on one of its nodes probes the Service's pods there, and holds their containers
up for moments where the target permits that: it then knows what it has to find. Where it does not, the agent waits for
a spike that nobody made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from perfrun.api.base import JSON
from perfrun.api.durations import seconds
from perfrun.api.network import Spikes as SpikeSettings
from perfrun.api.plan import Claim, Stage
from perfrun.api.service import Service
from perfrun.api.target import TargetSpec
from perfrun.capabilities.base import Evidence, Measured, NotMeasured, PlanError, ScenarioPlan, Settings
from perfrun.capabilities.spikes_values import ASKED, measure
from perfrun.capabilities.traffic import Segment, load_stage, service_of
from perfrun.capabilities.words.spikes import NAME, VOCABULARY
from perfrun.language import quantities
from perfrun.language.model import Quantity, Scenario, Step
from perfrun.language.vocabulary import Vocabulary

TAIL_SECONDS: Final = 2.0
"""Seconds of load after the last spike, so that none is made while traffic ends."""

EACH_SECONDS: Final = 1.0
"""Seconds that one spike takes at most besides its own length: until all is calm, to be made, and to be undone."""

_ROOM_SECONDS: Final = 2.0

_BOUNDS: Final[Mapping[str, tuple[str, str]]] = {
    "lasts": ("10ms", "500ms"), "interval": ("0.2ms", "1s"), "deadline": ("0.2ms", "1s"), "window": ("100ms", "1h"),
}  # fmt: skip
"""Between what lengths an agent takes each setting."""


class Spikes:
    """The capability; see the module."""

    name = NAME

    def vocabulary(self, target: TargetSpec | None) -> Vocabulary:  # noqa: ARG002 -- the same for every target
        """Return the words of latency spikes."""
        return VOCABULARY

    def plan(self, scenario: Scenario, target: TargetSpec, settings: Settings) -> ScenarioPlan:
        """Return the load, the agent's stage and a claim for every row of the table.

        Raises:
            PlanError: the target names no Service that can be probed, or its settings contradict the scenario.
        """
        service = service_of(scenario, target)
        if service.scheme != "http":
            msg = (
                f"scenario {scenario.name!r} probes the Service's pods in plain HTTP, but service.scheme of the "
                f"PerfTarget is {service.scheme}; name a Service that speaks http"
            )
            raise PlanError(msg)
        _check(target.spikes)
        inject = list(target.spikes.inject) if target.chaos.allowed else []
        lasts = _lasts(scenario, target, inject)
        before, rate, first = seconds(target.load.baseline), target.load.rate, f"s{settings.index + 1}"
        load = load_stage(
            f"{first}-load", settings.index, service, target,
            (Segment(before, rate), Segment(lasts, rate), Segment(TAIL_SECONDS, rate)), target.load.size,
        )  # fmt: skip
        agent = Stage(
            id=f"{first}-spike", scenario=settings.index, kind="fault", alongside=load.id, seconds=lasts,
            parameters={
                "kind": "spike", "backend": "native", "count": 1, "offset": before, "seconds": lasts,
                "spike": _arguments(service, target.spikes, inject),
            },
            timeout=load.timeout,
        )  # fmt: skip
        claims = {
            index: _claims(step, agent, scenario, target.spikes)
            for index, step in enumerate(scenario.steps)
            if step.meaning is not None and (step.meaning.capability, step.meaning.key) == (NAME, "actions")
        }
        return ScenarioPlan(stages=(load, agent), claims=claims)

    def measure(self, claim: Claim, evidence: Evidence, confidence: float) -> Measured | NotMeasured:  # noqa: ARG002 -- the slowest of all is exact
        """Return the value that the agent's answers give for a claim."""
        return measure(claim, evidence)


def _check(spikes: SpikeSettings) -> None:
    for name, (least, most) in _BOUNDS.items():
        given = str(getattr(spikes, name))
        if not seconds(least) <= seconds(given) <= seconds(most):
            msg = f"spikes.{name} of the PerfTarget is {given}; expected {least} to {most}"
            raise PlanError(msg)


def _lasts(scenario: Scenario, target: TargetSpec, inject: Sequence[str]) -> float:
    """Return how long the agent has, in seconds.

    Raises:
        PlanError: the target permits no fault of that length.
    """
    spikes = target.spikes
    if not inject:
        return seconds(spikes.window)
    count = len(inject) * spikes.rounds
    lasts = float(math.ceil(count * (EACH_SECONDS + seconds(spikes.lasts)) + _ROOM_SECONDS))
    if lasts > seconds(target.chaos.max_duration):
        msg = (
            f"scenario {scenario.name!r} needs {lasts:g} s for {count} spikes of {spikes.lasts} (spikes.inject, "
            f"spikes.rounds), but chaos.maxDuration of the PerfTarget permits {target.chaos.max_duration}; permit more "
            "there, or have fewer made"
        )
        raise PlanError(msg)
    return lasts


def _arguments(service: Service, spikes: SpikeSettings, inject: Sequence[str]) -> dict[str, JSON]:
    """Return what the agent is told; the pods and the port that they listen on are found when it starts."""
    return {
        "probe": {
            "port": service.port, "path": spikes.path, "interval_ms": 1e3 * seconds(spikes.interval),
            "deadline_ms": 1e3 * seconds(spikes.deadline), "budget_percent": 100 * spikes.budget,
        },
        "inject": [*inject], "rounds": spikes.rounds, "lasts_ms": 1e3 * seconds(spikes.lasts),
        "window_s": seconds(spikes.window), "container": spikes.container, "pods": [],
    }  # fmt: skip


def _claims(step: Step, agent: Stage, scenario: Scenario, spikes: SpikeSettings) -> tuple[Claim, ...]:
    rows: tuple[Mapping[str, Any], ...] = step.meaning.values["rows"] if step.meaning is not None else ()
    return tuple(_claim(row["action"], row["threshold"], agent, scenario, spikes) for row in rows)


def _claim(action: str, limit: Quantity, agent: Stage, scenario: Scenario, spikes: SpikeSettings) -> Claim:
    key = ASKED[action]
    if key == "detect" and quantities.convert(limit, "s") <= seconds(spikes.deadline):
        msg = (
            f"scenario {scenario.name!r} wants a spike detected within {quantities.show(limit)}, but a probe is only "
            f"late after {spikes.deadline} (spikes.deadline of the PerfTarget); set that below the limit"
        )
        raise PlanError(msg)
    return Claim(
        subject=f"{NAME}.{key}", label=f"time to {action[0].lower()}{action[1:]}", comparator="<=", limit=limit.value,
        unit=limit.unit, stage=agent.id,
        parameters={"inject": agent.parameters["spike"]["inject"], "window": seconds(spikes.window)},
    )  # fmt: skip
