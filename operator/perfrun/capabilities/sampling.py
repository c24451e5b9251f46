"""LLM sampling: how fast tokens come, and what memory that takes, of one model at one batch size.

One benchmark pod serves a whole scenario: its steps are timed once, and every claim is measured on the same evidence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from perfrun.api.base import JSON
from perfrun.api.durations import seconds
from perfrun.api.plan import Claim
from perfrun.api.target import LLM, TargetSpec
from perfrun.capabilities.base import (
    Evidence,
    Measured,
    NotMeasured,
    PlanError,
    ScenarioPlan,
    Settings,
    claim_of,
)
from perfrun.capabilities.dcgm import beside
from perfrun.capabilities.engines import llm_of, model, server
from perfrun.capabilities.pods import pod_stage
from perfrun.capabilities.sampling_values import measure
from perfrun.capabilities.words.sampling import NAME, VOCABULARY
from perfrun.language import quantities
from perfrun.language.model import Meaning, Scenario
from perfrun.language.vocabulary import Vocabulary
from perfrun.measuring.looks import Look, looks, spent
from perfrun.measuring.percentiles import samples_needed

STEPS_KEY: Final = "p99_latency"
"""Key of claims about step times, whatever their percentile."""

DESIGN_EFFECT: Final = 3
"""Consecutive step times that are taken to be worth one independent one when looks are planned."""

_LOOKS: Final = (0.25, 1, 2, 4)
"""Looks, as shares of what an acceptance needs at least; the first can only reject."""

_SKIPPED: Final = 50
_SAMPLES: Final = 1000
_FEWEST_TOKENS: Final = 2

_STALL_SECONDS: Final = 30.0
"""A stream without a token for so long stalls; in a budget of less than twice as much, for half of the budget."""

_ROUND_SERIES: Final[Mapping[str, str]] = {"ttft": "ttft_seconds", "tpot": "tpot_seconds", "e2e": "e2e_seconds"}
_UNITS: Final = {subject.key: subject.unit for subject in VOCABULARY.subjects}


class Sampling:
    """The capability; see the module."""

    name = NAME

    def vocabulary(self, target: TargetSpec | None) -> Vocabulary:  # noqa: ARG002 -- the same for every target
        """Return the words of sampling."""
        return VOCABULARY

    def plan(self, scenario: Scenario, target: TargetSpec, settings: Settings) -> ScenarioPlan:
        """Return one pod stage and the claims that it answers.

        Raises:
            PlanError: the target names no model that fits the scenario.
        """
        llm = llm_of(target, scenario.name, "samples")
        size = str(_only(scenario, "model_size")["size"])
        work = _work(scenario, size, llm)
        parameters, look_count = _stopping(scenario, work, settings.confidence)
        gpus = target.pods.gpus if llm.engine == "builtin" else 0
        pod = pod_stage(NAME, NAME, work | parameters, seconds(llm.budget), target, settings, gpus)
        claims = {
            index: _claim(meaning, pod.id, size, work, look_count) for index, meaning in scenario.outcomes(NAME).items()
        }
        return ScenarioPlan(stages=(pod, *beside(pod, target)), claims=claims)

    def measure(self, claim: Claim, evidence: Evidence, confidence: float) -> Measured | NotMeasured:
        """Return the value that the pod's samples give for a claim."""
        return measure(claim, evidence, confidence)


def _claim(meaning: Meaning, stage: str, size: str, work: Mapping[str, JSON], look_count: int) -> Claim:
    unit = _UNITS[meaning.key]
    limit = quantities.convert(meaning.limit, unit) if meaning.limit is not None else math.nan
    if meaning.key == STEPS_KEY:
        # Only the step times are looked at early, so only their interval pays for it.
        return claim_of(
            meaning, unit, stage, limit, model_size=size,
            series="step_seconds", quantile=_quantile(meaning), looks=look_count, streams=_streams(work),
        )  # fmt: skip
    if meaning.key in _ROUND_SERIES:
        return claim_of(
            meaning, unit, stage, limit, model_size=size,
            series=_ROUND_SERIES[meaning.key], quantile=_quantile(meaning), looks=0, streams=1,
        )  # fmt: skip
    return claim_of(meaning, unit, stage, limit, model_size=size, batch_size=work["batch_size"])


def _quantile(meaning: Meaning) -> float:
    return float(meaning.values["percentile"])


def _work(scenario: Scenario, size: str, llm: LLM) -> dict[str, JSON]:
    """Return what the program must do, without when it may stop."""
    tokens = int(_only(scenario, "sample_tokens")["count"])
    if tokens < _FEWEST_TOKENS:
        msg = f"sampling {tokens} token leaves no decoding step to time; sample at least {_FEWEST_TOKENS} tokens"
        raise PlanError(msg)
    row = _configuration(scenario, size)
    stated = scenario.meanings("batch_size")
    batch = int(stated[-1].values["value"]) if stated else int(row["batch_size"])
    common: dict[str, JSON] = {
        "engine": llm.engine,
        "batch_size": batch,
        "num_tokens": tokens,
        "sampling": llm.sampling.model_dump(mode="json"),
    }
    length = int(row["sequence_length"])
    if llm.engine == "openai":
        stall = min(_STALL_SECONDS, seconds(llm.budget) / 2)
        return common | server(size, llm) | {"prompt_tokens": length, "stall_seconds": stall}
    return common | {"model": model(size, llm), "sequence_length": length, "device": llm.device}


def _only(scenario: Scenario, key: str) -> Mapping[str, Any]:
    found = scenario.meanings(key)
    if not found:
        msg = f"scenario {scenario.name!r} does not state its {key.replace('_', ' ')}; add the step that does"
        raise PlanError(msg)
    return found[-1].values


def _configuration(scenario: Scenario, size: str) -> Mapping[str, Any]:
    rows = [row for each in scenario.meanings("model_configurations") for row in each.values["rows"]]
    for row in rows:
        if row["model_size"] == size:
            return dict(row)
    msg = f"no table of model configurations has a row for model size {size!r}; add one"
    raise PlanError(msg)


def _stopping(scenario: Scenario, work: Mapping[str, JSON], confidence: float) -> tuple[dict[str, JSON], int]:
    """Return the parameters that say when the program may stop, and how many looks it takes at the step times."""
    per_round = (int(work["num_tokens"]) - 1) * _streams(work)
    rounds = _rounds_needed(scenario, work, confidence)
    claim = next((each for each in scenario.meanings(STEPS_KEY) if each.comparator in ("<", "<=")), None)
    if rounds or claim is None or claim.limit is None:
        # Figures of whole rounds come one a round, so stopping on the step times would starve them.
        samples = max(_SAMPLES * _streams(work), rounds * per_round)
        return {"min_samples": samples, "max_rounds": math.ceil(samples / per_round)}, 0
    quantile, effect = _quantile(claim), DESIGN_EFFECT * _streams(work)
    needed = samples_needed(quantile, spent(confidence, len(_LOOKS))) * effect
    boundary = looks(quantile, confidence, [math.ceil(needed * share) for share in _LOOKS], effect)
    skipped = _SKIPPED * _streams(work)
    samples = boundary[-1].samples + skipped
    return {
        "min_samples": samples,
        "max_rounds": math.ceil(samples / per_round),
        "looks": [_look(each) for each in boundary],
        "looks_skip": skipped,
        "limit_seconds": quantities.convert(claim.limit, "s"),
    }, len(_LOOKS)


def _streams(work: Mapping[str, JSON]) -> int:
    """Return how many series of step times run side by side: those of one server move together, and count as one."""
    return int(work["batch_size"]) if work["engine"] == "openai" else 1


def _rounds_needed(scenario: Scenario, work: Mapping[str, JSON], confidence: float) -> int:
    """Return the rounds that prove the claims about whole rounds, 0 where there are none."""
    quantiles = [_quantile(each) for key in _ROUND_SERIES for each in scenario.meanings(key)]
    return math.ceil(max((samples_needed(each, confidence) for each in quantiles), default=0) / _streams(work))


def _look(look: Look) -> dict[str, int]:
    return {
        "samples": look.samples, "accept_at_most": look.accept_at_most, "reject_at_least": look.reject_at_least,
    }  # fmt: skip
