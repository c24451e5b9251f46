"""Refuses at ``kubectl apply`` what could never be verified, with the text that ``perfrun lint`` prints.

It is a courtesy, never a gate that correctness leans on: where the webhook is off or down, the same words end in
the object's status. So it refuses only what is certain; whatever may still come true becomes a warning.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs
import pydantic

from perfrun.adapters.reading import MalformedError, sentence
from perfrun.api.feature import FeatureSpec
from perfrun.api.run import RunSpec
from perfrun.api.target import TargetSpec
from perfrun.capabilities.registry import vocabularies
from perfrun.language.model import Problem
from perfrun.language.read import FeatureErrors, read_feature, understand
from perfrun.language.read import sentence as problem_sentence
from perfrun.lifecycle.check_target import target_problems
from perfrun.lifecycle.values import Key
from perfrun.planning.schedule import check_schedule
from perfrun.ports import Cluster, Unavailable

_LONGEST_WARNING: Final = 256
_MAYBE_A_METRIC: Final = frozenset({"undefined-step"})
"""Rules whose problems may vanish when the target, which names metrics, is created."""


@attrs.frozen
class Opinion:
    """What is certainly wrong with an object, and what may be."""

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Admission:
    """Answers AdmissionReviews of the three kinds that people write."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def review(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answered AdmissionReview; raises KeyError or TypeError where it is none."""
        request = asked["request"]
        opinion = await self._opinion(request)
        response: dict[str, Any] = {"uid": request["uid"], "allowed": not opinion.problems}
        if opinion.problems:
            response["status"] = {"code": 422, "reason": "Invalid", "message": "\n".join(opinion.problems)}
        if opinion.warnings:
            response["warnings"] = [each[:_LONGEST_WARNING] for each in opinion.warnings]
        return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}

    async def _opinion(self, request: Mapping[str, Any]) -> Opinion:
        stored, before = request["object"], request.get("oldObject")
        if stored is None or not _matters(stored, before):
            return Opinion()
        kind, namespace, spec = request["kind"]["kind"], request["namespace"], stored.get("spec") or {}
        try:
            match kind:
                case "PerfFeature":
                    return await self._feature(FeatureSpec.from_wire(spec), namespace)
                case "PerfRun":
                    return await self._text(RunSpec.from_wire(spec), namespace)
                case "PerfTarget":
                    return Opinion(target_problems(TargetSpec.from_wire(spec)))
                case _:
                    return Opinion()
        except pydantic.ValidationError as error:
            return Opinion((sentence(error, "spec"),))

    async def _feature(self, spec: FeatureSpec, namespace: str) -> Opinion:
        wrong = check_schedule(spec.schedule) if spec.schedule is not None else None
        opinion = await self._text(spec, namespace)
        return attrs.evolve(opinion, problems=(f"spec.schedule: {wrong}", *opinion.problems)) if wrong else opinion

    async def _text(self, spec: FeatureSpec | RunSpec, namespace: str) -> Opinion:
        if spec.feature is None:
            return Opinion()
        target, warning = await self._target(Key("PerfTarget", namespace, spec.target_ref))
        opinion = await asyncio.to_thread(opinion_of, spec.feature, target, spec.tags)
        return attrs.evolve(opinion, warnings=(*warning, *opinion.warnings))

    async def _target(self, key: Key) -> tuple[TargetSpec | None, tuple[str, ...]]:
        try:
            target = await self._cluster.target(key)
        except (Unavailable, MalformedError) as error:
            return None, (f"PerfTarget {key.name} could not be read, so its metrics are unknown: {error}",)
        if target is None:
            return None, (f"PerfTarget {key.name} is not there yet; the feature waits for it",)
        return target.spec, ()


def opinion_of(text: str, target: TargetSpec | None, tags: str) -> Opinion:
    """Return what is wrong with a feature text; without its target, an unknown subject may be a metric to come."""
    words = vocabularies(target)
    feature, problems = understand(text, words)
    if not problems:
        try:
            read_feature(text, words, tags)
        except FeatureErrors as errors:
            return Opinion(_sentences(errors.problems))
        return Opinion()
    scenarios = feature.scenarios if feature is not None and target is None else ()
    promises = {step.location.line for each in scenarios for step in each.steps if step.role == "outcome"}
    maybe = [each for each in problems if each.rule in _MAYBE_A_METRIC and each.location.line in promises]
    certain = [each for each in problems if each not in maybe]
    return Opinion(_sentences(certain), _sentences(maybe))


def _sentences(problems: Iterable[Problem]) -> tuple[str, ...]:
    return tuple(problem_sentence(each) for each in problems)


def _matters(stored: Mapping[str, Any], before: Mapping[str, Any] | None) -> bool:
    metadata = stored["metadata"]
    if metadata.get("deletionTimestamp") is not None:
        return False
    if before is not None and before.get("spec") == stored.get("spec"):
        return False
    # A run that a feature started holds a text that was judged when the feature was applied.
    owners = metadata.get("ownerReferences") or ()
    return not any(owner.get("kind") == "PerfFeature" and owner.get("controller") for owner in owners)
