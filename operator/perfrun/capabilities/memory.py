"""Memory: whether an active pipeline wastes it, finds again what it has computed, and gives back what it took.

One pod keeps several batches under way for as long as the target says, and looks at memory whenever all of them are
done. It hands in what it has while it goes on: another attempt goes on for the rest where a pod is lost.
"""

from __future__ import annotations

from typing import Final

from perfrun.api.base import JSON
from perfrun.api.durations import seconds
from perfrun.api.optimization import Memory as Wanted
from perfrun.api.plan import Claim
from perfrun.api.sizes import bytes_of
from perfrun.api.target import LLM, TargetSpec
from perfrun.capabilities.base import Evidence, Outcome, ScenarioPlan, Settings, claim_of
from perfrun.capabilities.dcgm import beside
from perfrun.capabilities.engines import llm_of, model, server
from perfrun.capabilities.memory_values import LEAK, measure
from perfrun.capabilities.pods import pod_stage
from perfrun.capabilities.words.memory import NAME, VOCABULARY
from perfrun.language import quantities
from perfrun.language.model import Meaning, Quantity, Scenario
from perfrun.language.vocabulary import Vocabulary

CHECKPOINT_SECONDS: Final = 60.0
"""How often a pod hands in what it has, or oftener: what is lost with it is less than this."""

_CHECKPOINTS: Final = 10
"""Checkpoints of a soak at least."""

_SAMPLES: Final = 400
"""Looks at memory over the whole time: enough for a slope, and few enough to disturb nothing."""


class Memory:
    """The capability; see the module."""

    name = NAME

    def vocabulary(self, target: TargetSpec | None) -> Vocabulary:  # noqa: ARG002 -- the same for every target
        """Return the words of memory."""
        return VOCABULARY

    def plan(self, scenario: Scenario, target: TargetSpec, settings: Settings) -> ScenarioPlan:
        """Return one pod stage and the claims that it answers.

        Raises:
            PlanError: the target names no model that could be run.
        """
        llm, wanted = llm_of(target, scenario.name, "watches the memory of"), target.memory
        length = seconds(wanted.soak)
        gpus = target.pods.gpus if llm.engine == "builtin" else 0
        parameters = _engine(wanted, llm) | _work(wanted, llm, length)
        pod = pod_stage(NAME, NAME, parameters, length, target, settings, gpus).replace(resumes=True)
        claims = {index: _claim(meaning, pod.id, wanted) for index, meaning in scenario.outcomes(NAME).items()}
        return ScenarioPlan(stages=(pod, *beside(pod, target)), claims=claims)

    def measure(self, claim: Claim, evidence: Evidence, confidence: float) -> Outcome:
        """Return what the samples of all attempts together say."""
        return measure(claim, evidence, confidence)


def _engine(wanted: Wanted, llm: LLM) -> dict[str, JSON]:
    """Return what the program must run, or ask."""
    if llm.engine == "openai":
        return {"engine": llm.engine} | server(wanted.model, llm)
    return {
        "engine": llm.engine, "model": model(wanted.model, llm), "device": llm.device,
        "block_tokens": wanted.block_tokens, "blocks": wanted.blocks,
    }  # fmt: skip


def _work(wanted: Wanted, llm: LLM, length: float) -> dict[str, JSON]:
    """Return what both engines are told: the batches, and for how long, in seconds."""
    return {
        "batches": wanted.batches, "batch_size": wanted.batch_size, "prefix_tokens": wanted.prefix_tokens,
        "prefixes": wanted.prefixes, "unique_tokens": wanted.unique_tokens, "num_tokens": wanted.num_tokens,
        "sampling": llm.sampling.model_dump(mode="json"), "soak_seconds": length, "samples_every": length / _SAMPLES,
        "checkpoint_seconds": min(CHECKPOINT_SECONDS, length / _CHECKPOINTS), "done_seconds": 0.0, "segments": 0,
    }  # fmt: skip


def _claim(meaning: Meaning, stage: str, wanted: Wanted) -> Claim:
    if meaning.key == LEAK:
        period = quantities.convert(meaning.values["period"], "s")
        return claim_of(meaning, "MiB", stage, bytes_of(wanted.leak_budget) / 2**20, period_s=period)
    limit = meaning.limit or Quantity(0, "%")
    return claim_of(meaning, "%", stage, quantities.convert(limit, "%"))
