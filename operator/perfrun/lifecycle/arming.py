"""Faults by agents: one on each node, armed before the start, which begins by itself on time or not at all.

All of them or none: unless every agent is ready shortly before the start, all are stopped while nothing has happened.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal, cast

import attrs

from perfrun.api.faults import FaultStatus
from perfrun.api.run import StageStatus
from perfrun.lifecycle.progress import Scene
from perfrun.lifecycle.trouble import Trouble
from perfrun.lifecycle.undoing import agents_of, cut_short, ended, witnessed
from perfrun.lifecycle.values import Action, AgentView, StartAgent, StopAgent
from perfrun.manifests.names import agent_name

ARMED = dt.timedelta(seconds=3)
"""How long before the start every agent has to be at work; less would not be enough to stop them all."""

LOOK = dt.timedelta(seconds=0.5)
"""How soon it is looked again while nodes fail."""

_SOON = dt.timedelta(seconds=1)
_HOPELESS = frozenset({
    "Refused", "InvalidImageName", "ErrImageNeverPull", "ErrImagePull", "ImagePullBackOff",
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
})  # fmt: skip


@attrs.frozen
class Step:
    """How a fault and its stage go on; with ``wrong`` it is called off."""

    fault: FaultStatus
    status: StageStatus
    actions: tuple[Action, ...] = ()
    look_at: dt.datetime | None = None
    wrong: Trouble | None = None


def step(fault: FaultStatus, was: StageStatus, scene: Scene) -> Step:
    """Return how a fault goes on whose end has not come."""
    now, names = scene.now, _names(fault, was, scene)
    agents = {node: scene.seen.agents.get(name) for node, name in names.items()}
    if now >= fault.starts_at and fault.state == "Intended":
        # Agents need nobody to begin, so from here on it has to be taken for begun.
        fault = fault.replace(state="Injected")
    fault = witnessed(fault, scene)
    wrong = _wrong(fault, agents, now)
    if wrong is not None:
        return Step(fault, was, wrong=wrong)
    if now >= fault.starts_at:
        return Step(fault, was, look_at=now + LOOK)
    kind = cast("Literal['isolate', 'freeze', 'spike']", fault.kind)
    starts: list[Action] = [
        StartAgent(names[node], fault.id, node, kind, fault.starts_at, fault.ends_at, was.attempt)
        for node, agent in agents.items()
        if agent is None
    ]
    strangers = [each for each in agents_of(fault, scene) if each.pod.name not in names.values()]
    stops = [StopAgent(each.pod.name) for each in strangers if not each.pod.deleting]
    due = [fault.starts_at, fault.starts_at - ARMED, now + _SOON]
    return Step(fault, was, (*stops, *starts), min(each for each in due if each > now))


def _names(fault: FaultStatus, was: StageStatus, scene: Scene) -> dict[str, str]:
    uid = scene.run.meta.uid
    return {each.node: agent_name(uid, fault.id, each.node, fault.kind, was.attempt) for each in fault.nodes}


def _wrong(fault: FaultStatus, agents: dict[str, AgentView | None], now: dt.datetime) -> Trouble | None:
    for node, agent in agents.items():
        found = _of_agent(fault, node, agent, now)
        if found is not None:
            return found
    short = cut_short(fault)
    return Trouble("FaultCutShort", short) if short else None


def _of_agent(fault: FaultStatus, node: str, agent: AgentView | None, now: dt.datetime) -> Trouble | None:
    if agent is not None and agent.report is not None:
        return _of_report(node, agent)
    if agent is not None and agent.pod.waiting in _HOPELESS:
        told = agent.pod.message.strip() or agent.pod.waiting
        text = f"the fault agent on {node} cannot start: {told}; correct the operator's settings for fault agents"
        return Trouble("AgentNotStarted", text)
    if agent is not None and ended(agent.pod) and now < fault.starts_at:
        told = agent.pod.message.strip()[-200:] or agent.pod.reason or "it said nothing"
        return Trouble("AgentNotStarted", f"the fault agent on {node} ended before it was to begin: {told}")
    late = now >= fault.starts_at - ARMED
    waits = agent.pod.phase == "Pending" if agent is not None else now < fault.starts_at
    if not late or not waits:
        # An agent that is gone later was killed: the fault goes on by the kernel, and its effects are seen or not.
        return None
    what = "was not there" if agent is None else f"had not started ({agent.pod.waiting or 'no reason is known'})"
    return Trouble(
        "AgentLate",
        f"load.lead: the fault agent on {node} {what} {ARMED.total_seconds():g} s before the fault was to begin; "
        "expected all to be ready by then; raise it, or pull the agents' image beforehand",
        again=True,
    )


def _of_report(node: str, agent: AgentView) -> Trouble | None:
    report = agent.report
    if report is None or report.state == "Undone":
        return None
    if report.state == "Refused":
        late = report.reason == "Late"
        text = f"the fault agent on {node} refused ({report.reason}): {report.message}"
        return Trouble("AgentLate" if late else "AgentRefused", text, again=late)
    return Trouble("FaultCutShort", f"the fault agent on {node} gave up ({report.reason}): {report.message}")
