"""From what was observed to the evidence on which scenarios are judged, and its record for the artifact store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import attrs

from perfrun.api.plan import Stage
from perfrun.api.run import ArtifactLink, RunStatus, StageStatus
from perfrun.capabilities.base import Evidence, QueryAnswer
from perfrun.lifecycle.values import RunObservation, Store
from perfrun_kernels.contract import Result


def by_stage(stages: Iterable[Stage], status: RunStatus, seen: RunObservation) -> Mapping[str, Evidence]:
    """Return the evidence of each stage."""
    states = {each.id: each for each in status.stages}
    return {stage.id: _evidence(stage, states[stage.id], seen) for stage in stages}


def _evidence(stage: Stage, state: StageStatus, seen: RunObservation) -> Evidence:
    if state.state == "Lost":
        return Evidence(
            pod=state.pod, lost_reason=state.reason, lost_message=state.message, broken=state.broken
        )  # fmt: skip
    if stage.kind == "query":
        return Evidence(answer=seen.answers.get(stage.id))
    handed_in = seen.results.get(stage.id)
    if stage.kind == "pod" and (handed_in is None or not isinstance(handed_in.result, Result)):
        text = f"the result of pod {state.pod} was handed in, but the artifact store no longer has it"
        return Evidence(pod=state.pod, lost_reason="ResultLost", lost_message=text)
    result = handed_in.result if handed_in is not None and isinstance(handed_in.result, Result) else None
    return Evidence(result=result, pod=state.pod)


def links(stages: Iterable[Stage], status: RunStatus, seen: RunObservation) -> tuple[ArtifactLink, ...]:
    """Return the links to the results that these stages handed in."""
    done = {each.id for each in status.stages if each.state == "Done"}
    return tuple(seen.results[each.id].link for each in stages if each.id in seen.results and each.id in done)


def record(index: int, stages: Iterable[Stage], status: RunStatus, seen: RunObservation) -> tuple[Store, ...]:
    """Return what keeps a scenario's query answers, which no one else keeps."""
    done = {each.id for each in status.stages if each.state == "Done"}
    answers = {each.id: _plain(seen.answers[each.id]) for each in stages if each.id in seen.answers and each.id in done}
    return (Store(f"scenario-{index + 1}-queries", json.dumps(answers, sort_keys=True)),) if answers else ()


def _plain(answer: QueryAnswer) -> dict[str, object]:
    data = attrs.asdict(answer, recurse=False)
    return {
        **data,
        "window": answer.window.to_wire(),
        # Prometheus has NaN and infinities, JSON has not.
        "series": {labels: [[at, str(value)] for at, value in points] for labels, points in answer.series.items()},
    }


def report(status: RunStatus) -> str:
    """Return the whole status as JSON, before anything is left out of the object for its size."""
    return json.dumps(status.to_wire(), sort_keys=True)
