"""From what was observed to the evidence on which scenarios are judged, and its record for the artifact store.

What goes along with a load is judged with all that is known of that load, for what was measured beside half a load
says nothing about a whole one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import attrs

from perfrun.api.plan import Stage
from perfrun.api.run import ArtifactLink, RunStatus, StageStatus
from perfrun.capabilities import dcgm
from perfrun.capabilities.base import Evidence, FoundPeak, QueryAnswer
from perfrun.capabilities.peak import found
from perfrun.lifecycle.attachments import attached
from perfrun.lifecycle.keeping import records
from perfrun.lifecycle.resuming import earlier
from perfrun.lifecycle.resuming import links as links_to_checkpoints
from perfrun.lifecycle.values import Missing, RunObservation, Store
from perfrun_kernels.contract import Result


def by_stage(stages: Iterable[Stage], status: RunStatus, seen: RunObservation) -> Mapping[str, Evidence]:
    """Return the evidence of each stage."""
    mine = tuple(stages)
    states = {each.id: each for each in status.stages}
    loads = {stage.id: _load(stage, states[stage.id], mine, status, seen) for stage in mine if stage.kind == "load"}
    evidence = {}
    for stage in mine:
        if stage.id in loads:
            evidence[stage.id] = loads[stage.id]
        elif stage.alongside in loads:
            load = next(each for each in mine if each.id == stage.alongside)
            around = attrs.evolve(loads[load.id], peak=_peak(load, mine, states, loads))
            evidence[stage.id] = _along(stage, around, mine, states, status, seen)
        else:
            evidence[stage.id] = _evidence(stage, states[stage.id], loads, seen)
    return evidence


def _evidence(stage: Stage, state: StageStatus, loads: Mapping[str, Evidence], seen: RunObservation) -> Evidence:
    if stage.kind == "query":
        return _answer(stage, state, loads.get(str(stage.parameters.get("after") or ""), Evidence()), seen)
    before = earlier(stage, state, seen) if stage.resumes else ()
    if state.state == "Lost":
        return attrs.evolve(_lost(state), earlier=before)
    if stage.kind == "ids":
        return Evidence(ids=seen.ids.get(stage.id))
    handed_in = seen.results.get(stage.id)
    if stage.kind == "pod" and (handed_in is None or not isinstance(handed_in.result, Result)):
        return _result_lost(f"the result of pod {state.pod} was", state.pod)
    result = handed_in.result if handed_in is not None and isinstance(handed_in.result, Result) else None
    if result is not None:
        result = dcgm.told(result, seen.answers.get(dcgm.stage_id(stage.id)))
    return Evidence(result=result, pod=state.pod, kept=records(stage, result, seen.kept), earlier=before)


def _along(
    stage: Stage, load: Evidence, mine: tuple[Stage, ...], states: Mapping[str, StageStatus], status: RunStatus,
    seen: RunObservation,
) -> Evidence:  # fmt: skip
    """Return the evidence of a pod or a fault that went along with a load: its own result, and all around it."""
    state, handed_in = states[stage.id], seen.results.get(stage.id)
    pods = [each.id for each in mine if each.kind == "pod" and each.alongside == stage.alongside]
    beside = {name: result for name in pods if (result := _measured(states[name], seen)) is not None}
    lost = "its result was handed in, but the artifact store no longer has it"
    evidence = attrs.evolve(
        load, result=_measured(state, seen), pod=state.pod, beside=beside,
        lacking={name: states[name].message or lost for name in pods if name not in beside},
        fault=next((each for each in status.faults if each.id == stage.id), load.fault),
    )  # fmt: skip
    if state.state == "Lost":
        return attrs.evolve(
            evidence, lost_reason=state.reason, lost_message=state.message, broken=state.broken
        )  # fmt: skip
    if handed_in is not None and isinstance(handed_in.result, Missing):
        wrong = handed_in.result
        return attrs.evolve(evidence, lost_reason=wrong.reason, lost_message=wrong.message, broken=True)
    if stage.kind == "pod" and evidence.result is None and not evidence.lost_reason:
        return attrs.evolve(evidence, lost_reason="ResultLost", lost_message=f"pod {state.pod}: {lost}")
    return evidence


def _measured(state: StageStatus, seen: RunObservation) -> Result | None:
    """Return the result that a stage ended with."""
    handed_in = seen.results.get(state.id)
    if state.state != "Done" or handed_in is None or not isinstance(handed_in.result, Result):
        return None
    return handed_in.result


def _peak(
    load: Stage, mine: tuple[Stage, ...], states: Mapping[str, StageStatus], loads: Mapping[str, Evidence]
) -> FoundPeak | None:
    """Return how the rate of a load was found, where another load found it."""
    climb = next((each for each in mine if each.id == load.rate_of), None)
    if climb is None:
        return None
    if loads[climb.id].lost_reason:
        return FoundPeak(states[climb.id].rate, loads[climb.id].lost_message)
    return found(loads[climb.id].shards, climb.parameters)


def _answer(stage: Stage, state: StageStatus, load: Evidence, seen: RunObservation) -> Evidence:
    """Return an answer with the load that it is about: who served it tells whom to look at, its books explain gaps."""
    if state.state == "Lost":
        return attrs.evolve(_lost(state), shards=load.shards)
    return Evidence(
        answer=seen.answers.get(stage.id), shards=load.shards, start_at=load.start_at, serving=load.serving
    )  # fmt: skip


def _load(
    stage: Stage, state: StageStatus, mine: tuple[Stage, ...], status: RunStatus, seen: RunObservation
) -> Evidence:
    """Return the evidence of a load: what its generators handed in, what was done meanwhile, what servers logged."""
    if state.state == "Lost":
        return _lost(state)
    handed_in = sorted(seen.shards.get(stage.id, {}).items())
    shards = tuple(each.result for _, each in handed_in if isinstance(each.result, Result))
    if not shards or (len(shards) < stage.shards and all(each.outcome == "Completed" for each in shards)):
        text = f"the results of {stage.shards - len(shards)} generators of job {state.pod} were"
        return _result_lost(text, state.pod)
    fault = next((each.id for each in mine if each.kind == "fault" and each.alongside == stage.id), "")
    ids = next((each.id for each in mine if each.kind == "ids" and each.parameters["after"] == stage.id), "")
    return Evidence(
        shards=shards, pod=state.pod, serving=state.serving, ids=seen.ids.get(ids),
        start_at=state.start_at.timestamp() if state.start_at is not None else 0.0, rate=state.rate,
        fault=next((each for each in status.faults if each.id == fault), None),
    )  # fmt: skip


def _lost(state: StageStatus) -> Evidence:
    return Evidence(pod=state.pod, lost_reason=state.reason, lost_message=state.message, broken=state.broken)


def _result_lost(what: str, pod: str) -> Evidence:
    text = f"{what} handed in, but the artifact store no longer has it"
    return Evidence(pod=pod, lost_reason="ResultLost", lost_message=text)


def links(stages: Iterable[Stage], status: RunStatus, seen: RunObservation) -> tuple[ArtifactLink, ...]:
    """Return the links to what these stages handed in."""
    mine = tuple(stages)
    done = [each for each in mine if any(state.id == each.id and state.state == "Done" for state in status.stages)]
    pods = (seen.results[each.id].link for each in done if each.id in seen.results)
    shards = (handed_in.link for each in done for _, handed_in in sorted(seen.shards.get(each.id, {}).items()))
    checkpoints = (link for each in mine for link in links_to_checkpoints(each, seen))
    return (*pods, *shards, *checkpoints)


def record(index: int, stages: Iterable[Stage], status: RunStatus, seen: RunObservation) -> tuple[Store, ...]:
    """Return what keeps a scenario's query answers, the servers' request ids and the files that go with results."""
    done = {each.id for each in status.stages if each.state == "Done"}
    mine = [each.id for each in stages if each.id in done]
    answers = {name: _plain(seen.answers[name]) for name in mine if name in seen.answers}
    ids = {name: attrs.asdict(seen.ids[name]) for name in mine if name in seen.ids}
    kept = tuple(
        Store(f"scenario-{index + 1}-{kind}", json.dumps(what, sort_keys=True).encode())
        for kind, what in (("queries", answers), ("ids", ids))
        if what
    )
    results = [(name, seen.results[name].result) for name in mine if name in seen.results]
    files = [attached(name, result) for name, result in results if isinstance(result, Result)]
    return (*kept, *(each for some in files for each in some))


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
