"""The proof that a node is clean: an agent that looks there for whatever any agent may have left, until one finds none.

Agents are named by a number, so that one that failed makes way for the next, and which is next follows from what is
seen alone.
"""

from __future__ import annotations

import datetime as dt

import attrs

from perfrun.api.faults import FaultStatus
from perfrun.lifecycle.progress import Scene
from perfrun.lifecycle.values import Action, AgentView, StartAgent, StopAgent
from perfrun.manifests.names import agent_name

STUCK = dt.timedelta(seconds=120)
"""Age at which an undoing agent that has not ended makes way for another."""

_LASTS = dt.timedelta(seconds=60)
_NUMBERS = 100
"""Undoing agents of one attempt at a fault are numbered apart from those of the next, whose reports are newer."""


@attrs.frozen
class Proving:
    """The proof (a sentence), or what is done and waited for to get one."""

    proof: str = ""
    actions: tuple[Action, ...] = ()
    waits_for: str = ""


def proof_by_agent(fault: FaultStatus, node: str, scene: Scene) -> Proving:
    """Return the proof of an undoing agent that the node is clean, or how it is got."""
    actions: tuple[Action, ...] = ()
    failed = ""
    number = scene.stage(fault.id).attempt * _NUMBERS
    while True:
        number += 1
        name = agent_name(scene.run.meta.uid, fault.id, node, "undo", number)
        agent = scene.seen.agents.get(name)
        waits_for = f"the proof that {node} is clean{failed}"
        if agent is None:
            start = StartAgent(name, fault.id, node, "undo", scene.now, scene.now + _LASTS)
            return Proving(actions=(*actions, start), waits_for=waits_for)
        if agent.report is not None and agent.report.state == "Clean":
            told = [each for each in (agent.report.message, agent.report.proof) if each]
            return Proving(proof="; ".join(told) or "an agent looked and found nothing left", actions=actions)
        if not _failed(agent, scene.now):
            return Proving(actions=actions, waits_for=waits_for)
        if not agent.pod.deleting:
            actions = (*actions, StopAgent(name))
        failed = f", after this: {_told(agent)}"


def _failed(agent: AgentView, now: dt.datetime) -> bool:
    pod = agent.pod
    return pod.phase in ("Succeeded", "Failed") or pod.deleting or pod.waiting == "Refused" or now > pod.created + STUCK


def _told(agent: AgentView) -> str:
    if agent.report is not None:
        return f"{agent.report.reason}, {agent.report.message}"
    return agent.pod.message.strip()[-200:] or agent.pod.reason or agent.pod.waiting or "it did not end in time"
