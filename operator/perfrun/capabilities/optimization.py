"""Low precision: what converting a pretrained transformer gains in size and speed, and what it costs in accuracy.

One pod measures the model before and after converting it, in turns and on the same items, so that all claims of a
scenario are about the same two models on the same machine.
"""

from __future__ import annotations

from typing import Final

from perfrun.api.durations import seconds
from perfrun.api.optimization import LowPrecision
from perfrun.api.plan import Claim
from perfrun.api.target import TargetSpec
from perfrun.capabilities.base import Evidence, Outcome, PlanError, ScenarioPlan, Settings, claim_of
from perfrun.capabilities.dcgm import beside
from perfrun.capabilities.optimization_values import measure
from perfrun.capabilities.pods import pod_stage
from perfrun.capabilities.words.optimization import NAME, VOCABULARY
from perfrun.language import quantities
from perfrun.language.model import Meaning, Quantity, Scenario
from perfrun.language.vocabulary import Vocabulary

PROGRAM: Final = "precision"

ROUNDS: Final = 40
"""Turns in which both models are timed: enough for an interval of a few percent, seconds on a GPU."""


class Optimization:
    """The capability; see the module."""

    name = NAME

    def vocabulary(self, target: TargetSpec | None) -> Vocabulary:  # noqa: ARG002 -- the same for every target
        """Return the words of low precision."""
        return VOCABULARY

    def plan(self, scenario: Scenario, target: TargetSpec, settings: Settings) -> ScenarioPlan:
        """Return one pod stage and the claims that it answers.

        Raises:
            PlanError: the scenario does not say what the model is converted to.
        """
        parameters = _parameters(target.low_precision) | {"precision": _precision(scenario)}
        length = seconds(target.low_precision.budget)
        pod = pod_stage(NAME, PROGRAM, parameters, length, target, settings, target.pods.gpus)
        claims = {index: _claim(meaning, pod.id) for index, meaning in scenario.outcomes(NAME).items()}
        return ScenarioPlan(stages=(pod, *beside(pod, target)), claims=claims)

    def measure(self, claim: Claim, evidence: Evidence, confidence: float) -> Outcome:
        """Return what converting gained or cost."""
        return measure(claim, evidence, confidence)


def _precision(scenario: Scenario) -> str:
    found = scenario.meanings("convert")
    if not found:
        msg = (
            f"scenario {scenario.name!r} does not say what the model is converted to; add the step "
            "'When converting the model to FP16 precision'"
        )
        raise PlanError(msg)
    return str(found[-1].values["precision"])


def _parameters(wanted: LowPrecision) -> dict[str, str | int]:
    return {
        "path": wanted.path or "", "dataset": wanted.dataset or "", "device": wanted.device,
        "batch_size": wanted.batch_size, "sequence_length": wanted.sequence_length, "items": wanted.items,
        "rounds": ROUNDS, "seed": wanted.seed,
    }  # fmt: skip


def _claim(meaning: Meaning, stage: str) -> Claim:
    limit = meaning.limit or Quantity(0, "%")
    return claim_of(meaning, "%", stage, quantities.convert(limit, "%"))
