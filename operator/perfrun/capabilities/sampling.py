"""LLM sampling: how fast tokens come, and what memory that takes, of one model at one batch size.

One benchmark pod serves a whole scenario: its steps are timed once, and every claim is measured on the same evidence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from perfrun.api.base import JSON
from perfrun.api.durations import seconds
from perfrun.api.plan import Claim, Stage
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
from perfrun.capabilities.sampling_values import measure
from perfrun.capabilities.words.sampling import NAME, VOCABULARY
from perfrun.language import quantities
from perfrun.language.model import Meaning, Scenario
from perfrun.language.vocabulary import Vocabulary
from perfrun.measuring.looks import Look, looks, spent
from perfrun.measuring.percentiles import samples_needed

BUILTIN_SIZES: Final = ("small", "medium", "large")
"""Sizes for which the built-in engine has an architecture of its own; others need one in the target."""

_DESIGN_EFFECT: Final = 1.5
_LOOKS: Final = 3
_SAMPLES: Final = 1000
_MARGIN: Final = 120.0
_LATENCIES: Final[Mapping[str, str]] = {
    "p99_latency": "step_seconds", "ttft": "ttft_seconds", "tpot": "tpot_seconds", "e2e": "e2e_seconds",
}  # fmt: skip
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
        llm = target.llm
        if llm is None:
            msg = (
                f"scenario {scenario.name!r} samples a language model, but the target names none; "
                "add spec.llm to the PerfTarget (llm: {} uses the built-in engine)"
            )
            raise PlanError(msg)
        work = _work(scenario, llm)
        stage = f"s{settings.index + 1}-{NAME}"
        budget = seconds(llm.budget)
        parameters, look_count = _stopping(scenario, work, settings.confidence)
        pod = Stage(
            id=stage,
            scenario=settings.index,
            kind="pod",
            program=NAME,
            parameters=work | parameters,
            gpus=target.pods.gpus if llm.engine == "builtin" else 0,
            seconds=budget,
            start_timeout=seconds(target.pods.start_timeout),
            timeout=budget + _MARGIN,
            attempts=target.pods.attempts,
        )
        claims = {
            index: _claim(step.meaning, stage, work, look_count)
            for index, step in enumerate(scenario.steps)
            if step.meaning is not None and step.meaning.capability == NAME and step.role == "outcome"
        }
        return ScenarioPlan(stages=(pod,), claims=claims)

    def measure(self, claim: Claim, evidence: Evidence, confidence: float) -> Measured | NotMeasured:
        """Return the value that the pod's samples give for a claim."""
        return measure(claim, evidence, confidence)


def _claim(meaning: Meaning, stage: str, work: Mapping[str, JSON], look_count: int) -> Claim:
    unit = _UNITS[meaning.key]
    limit = quantities.convert(meaning.limit, unit) if meaning.limit is not None else math.nan
    if meaning.key in _LATENCIES:
        # Only the step times are looked at early, so only their interval pays for it.
        paying = look_count if meaning.key == "p99_latency" else 0
        return claim_of(
            meaning, unit, stage, limit,
            series=_LATENCIES[meaning.key], quantile=_quantile(meaning), looks=paying,
        )  # fmt: skip
    if meaning.key == "throughput":
        return claim_of(meaning, unit, stage, limit, batch_size=work["batch_size"])
    return claim_of(meaning, unit, stage, limit)


def _quantile(meaning: Meaning) -> float:
    return float(meaning.values["percentile"])


def _work(scenario: Scenario, llm: LLM) -> dict[str, JSON]:
    """Return what the program must do, without when it may stop."""
    size = str(_only(scenario, "model_size")["size"])
    row = _configuration(scenario, size)
    stated = scenario.meanings("batch_size")
    batch = int(stated[-1].values["value"]) if stated else int(row["batch_size"])
    common: dict[str, JSON] = {
        "engine": llm.engine,
        "batch_size": batch,
        "num_tokens": int(_only(scenario, "sample_tokens")["count"]),
        "sampling": llm.sampling.model_dump(mode="json"),
    }
    length = int(row["sequence_length"])
    if llm.engine == "openai":
        return common | _server(size, length, llm)
    return common | {"model": _model(size, llm), "sequence_length": length, "device": llm.device}


def _model(size: str, llm: LLM) -> dict[str, JSON]:
    model = llm.models.get(size)
    if model is None and size not in BUILTIN_SIZES:
        msg = (
            f"model size {size!r} has no built-in architecture (there are {', '.join(BUILTIN_SIZES)}); "
            f"describe it under spec.llm.models.{size} of the PerfTarget"
        )
        raise PlanError(msg)
    # The program names its built-in sizes; a size of the target's own comes with its architecture or path.
    described: dict[str, JSON] = {"size": size if size in BUILTIN_SIZES else "small", "dtype": llm.dtype, "seed": 0}
    if model is not None and model.config is not None:
        described["config"] = model.config.model_dump(mode="json")
    elif model is not None and model.path is not None:
        described["path"] = model.path
    elif size not in BUILTIN_SIZES:
        msg = f"spec.llm.models.{size} has neither config nor path; the built-in engine needs one of them"
        raise PlanError(msg)
    return described


def _server(size: str, length: int, llm: LLM) -> dict[str, JSON]:
    model = llm.models.get(size)
    if not llm.url:
        msg = "spec.llm.engine is openai, but spec.llm.url is missing; add the server's base URL, ending in /v1"
        raise PlanError(msg)
    if model is None or not model.name:
        msg = f"model size {size!r} has no name at the server; add spec.llm.models.{size}.name to the PerfTarget"
        raise PlanError(msg)
    described: dict[str, JSON] = {"url": llm.url, "model_name": model.name, "prompt_tokens": length}
    if llm.api_key_secret:
        described["api_key_env"] = "PERFRUN_API_KEY"
    return described


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
    tokens = int(work["num_tokens"])
    streams = int(work["batch_size"]) if work["engine"] == "openai" else 1
    # Streams of one server are timed each on their own but move together: their steps are worth one stream's.
    per_round = (tokens - 1) * streams if work["engine"] == "openai" else tokens
    claim = next((each for each in scenario.meanings("p99_latency") if each.comparator in ("<", "<=")), None)
    if claim is None or claim.limit is None:
        return _rounds(_SAMPLES * streams, per_round), 0
    quantile = _quantile(claim)
    effect = _DESIGN_EFFECT * streams
    needed = max(_SAMPLES * streams, math.ceil(samples_needed(quantile, spent(confidence, _LOOKS)) * effect))
    first = max(1, math.ceil(needed / per_round)) * per_round
    boundary = looks(quantile, confidence, [first * 2**turn for turn in range(_LOOKS)], effect)
    parameters = _rounds(boundary[-1].samples, per_round)
    parameters["looks"] = [_look(each) for each in boundary]
    parameters["limit_seconds"] = quantities.convert(claim.limit, "s")
    return parameters, _LOOKS


def _rounds(samples: int, per_round: int) -> dict[str, JSON]:
    rounds = max(1, math.ceil(samples / max(1, per_round)))
    return {"min_samples": samples, "max_rounds": rounds}


def _look(look: Look) -> dict[str, int]:
    return {
        "samples": look.samples, "accept_at_most": look.accept_at_most, "reject_at_least": look.reject_at_least,
    }  # fmt: skip
