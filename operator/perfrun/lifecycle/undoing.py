"""Undoing faults: (faults, what is seen, now) → what is left to do, for as long as it takes.

Nothing counts as undone because it should be: a node is clean when somebody looked and said so. That is a fault agent
that looks for everything any agent may leave, the node's own object where it was cordoned, or the tool that carried
the fault out. A fault may have happened unless there is proof that it did not.
"""

from __future__ import annotations

import datetime as dt

import attrs

from perfrun.api.faults import FaultStatus, NodeFault
from perfrun.api.plan import Stage
from perfrun.lifecycle.progress import Scene
from perfrun.lifecycle.proving import proof_by_agent
from perfrun.lifecycle.values import Action, AgentView, Missing, PodView, StopAgent, StopExternal, Uncordon

NOTHING = "nothing was done: "
"""What the proof begins with for a node to which nothing ever happened."""

LATE = dt.timedelta(seconds=1)
"""How long after its start a fault may still begin, the agents' own limit and clocks that differ considered."""

IN_FLIGHT = dt.timedelta(seconds=3)
"""How long after an intent an agent may still appear that a dying operator asked for."""

OVERDUE = dt.timedelta(seconds=60)
"""How long after the end an agent that is still seen at work is waited for, whose report goes with its pod.

A kubelet that was cut off finds its way back to the API server only when its old connections have timed out.
"""

ENDPOINTS_PATIENCE = dt.timedelta(seconds=60)
"""How long after pods were killed as many endpoints as before are waited for."""

CUT_SHORT = dt.timedelta(seconds=1)
"""How much too early a fault may end and still count as whole."""

_SOON = dt.timedelta(seconds=1)
_SLOWLY = dt.timedelta(seconds=5)
_PATIENT = dt.timedelta(seconds=60)


@attrs.frozen
class Undoing:
    """What became of faults, what to do next, when to look again, and for what is waited, in words.

    ``settled``: all of them are proven undone, and nothing that carried them out is seen any more.
    """

    faults: tuple[FaultStatus, ...]
    actions: tuple[Action, ...]
    look_at: dt.datetime | None
    settled: bool
    waits_for: str


@attrs.frozen
class _Step:
    fault: FaultStatus
    actions: tuple[Action, ...] = ()
    waits_for: tuple[str, ...] = ()


def undo(faults: tuple[FaultStatus, ...], scene: Scene, *, early: bool) -> Undoing:
    """Return how undoing goes on; ``early`` ends now what would still last."""
    steps = [_undo(each, scene, early=early) for each in faults]
    waits_for = tuple(dict.fromkeys(each for step in steps for each in step.waits_for))
    return Undoing(
        faults=tuple(step.fault for step in steps),
        actions=tuple(action for step in steps for action in step.actions),
        look_at=scene.now + _pace(faults, scene.now) if waits_for else None,
        settled=not waits_for,
        waits_for=", ".join(waits_for),
    )


def witnessed(fault: FaultStatus, scene: Scene) -> FaultStatus:
    """Return the fault with what its agents reported and what its nodes show."""
    return fault.replace(nodes=tuple(_witnessed(fault, each, scene) for each in fault.nodes))


def ended(pod: PodView) -> bool:
    """Whether nothing of the pod runs any more."""
    return pod.phase in ("Succeeded", "Failed")


def by_agents(fault: FaultStatus) -> bool:
    """Whether fault agents carry it out."""
    return fault.backend == "native" and fault.kind in ("isolate", "freeze", "spike")


def load_of(fault: FaultStatus, scene: Scene) -> Stage | None:
    """Return the load stage that a fault goes along with."""
    frozen = scene.status.frozen
    stages = frozen.plan.stages if frozen is not None else ()
    load = next((each.alongside for each in stages if each.id == fault.id), "")
    return next((each for each in stages if each.id == load), None)


def agents_of(fault: FaultStatus, scene: Scene, node: str = "") -> tuple[AgentView, ...]:
    """Return the agents of a fault that are seen, on one node or on all."""
    return tuple(each for each in scene.seen.agents.values() if each.fault == fault.id and node in ("", each.node))


def cut_short(fault: FaultStatus) -> str:
    """Return which nodes were themselves again long before the end, in a sentence; empty for none.

    A pod that was killed is undone at once, and an agent that has made all its spikes, or seen one, has no more to do.
    """
    if fault.kind in ("pod-kill", "spike"):
        return ""
    early = [each for each in fault.nodes if each.undone_at is not None and each.undone_at < fault.ends_at - CUT_SHORT]
    if not early:
        return ""
    seconds = max((fault.ends_at - each.undone_at).total_seconds() for each in early if each.undone_at is not None)
    names = ", ".join(each.node for each in early)
    return (
        f"the fault ended up to {seconds:.1f} s early on {names}; expected it to last until its end; see what else "
        "acts on the node, and run it again"
    )


def _pace(faults: tuple[FaultStatus, ...], now: dt.datetime) -> dt.timedelta:
    newest = max((each.ends_at for each in faults), default=now)
    return _SOON if now < newest + _PATIENT else _SLOWLY


def _witnessed(fault: FaultStatus, node: NodeFault, scene: Scene) -> NodeFault:
    view = scene.seen.nodes.get(node.node)
    begun = scene.now >= fault.starts_at and fault.state == "Injected"
    if begun and view is not None and not view.ready and node.not_ready_at is None and node.clean_at is None:
        node = node.replace(not_ready_at=scene.now)
    for agent in agents_of(fault, scene, node.node):
        report = agent.report
        if report is not None and not agent.undo and report.injected_at is not None and node.injected_at is None:
            undone = report.undone_at
            node = node.replace(
                injected_at=_moment(report.injected_at), undone_at=None if undone is None else _moment(undone)
            )
    return node


def _moment(unix: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(unix, dt.UTC)


def _undo(fault: FaultStatus, scene: Scene, *, early: bool) -> _Step:
    if fault.settled:
        return _cleared(fault, scene)
    fault = witnessed(fault, scene)
    if early and not fault.reason and scene.now < fault.ends_at:
        fault = _ended_early(fault, scene.now)
    tool = scene.seen.external.get(fault.id)
    if fault.state == "Intended" and tool is not None and tool.phase != "Failed" and scene.now >= fault.starts_at:
        # What the tool may have begun has to be taken for begun.
        fault = fault.replace(state="Injected")
    steps = [_undo_node(fault, each, scene, early=early) for each in fault.nodes]
    fault = fault.replace(nodes=tuple(each for each, _, _ in steps))
    actions = tuple(action for _, each, _ in steps for action in each)
    waits_for = tuple(each for _, _, each in steps if each)
    if fault.backend != "native" and fault.id in scene.seen.external:
        actions = (StopExternal(fault),)
    if waits_for:
        return _Step(fault, actions, waits_for)
    return _cleared(_concluded(fault), scene, actions)


def _ended_early(fault: FaultStatus, now: dt.datetime) -> FaultStatus:
    if now < fault.starts_at:
        return fault.replace(reason="CalledOff", message="it was called off before it was to begin")
    return fault.replace(reason="EndedEarly", message=f"it was ended at {now:%H:%M:%S} UTC, before its time")


def _cleared(fault: FaultStatus, scene: Scene, actions: tuple[Action, ...] = ()) -> _Step:
    """Remove what carried a fault out that is over; it stays on nobody's cluster."""
    agents = agents_of(fault, scene)
    stops: tuple[Action, ...] = tuple(StopAgent(each.pod.name) for each in agents if not each.pod.deleting)
    waits_for = [f"the pod of the fault agent on {each.node} to go" for each in agents]
    if fault.backend != "native" and fault.id in scene.seen.external:
        stops = (*stops, StopExternal(fault))
        waits_for.append(f"{fault.backend} to let go of fault {fault.id}")
    return _Step(fault, tuple(dict.fromkeys((*actions, *stops))), tuple(waits_for))


def _undo_node(
    fault: FaultStatus, node: NodeFault, scene: Scene, *, early: bool
) -> tuple[NodeFault, tuple[Action, ...], str]:
    if node.clean_at is not None:
        return node, (), ""
    if fault.backend != "native":
        return _external(fault, node, scene)
    if by_agents(fault):
        return _by_agent(fault, node, scene, early=early)
    return _uncordon(node, scene) if fault.kind == "drain" else _replaced(fault, node, scene)


def _by_agent(
    fault: FaultStatus, node: NodeFault, scene: Scene, *, early: bool
) -> tuple[NodeFault, tuple[Action, ...], str]:
    now, view = scene.now, scene.seen.nodes.get(node.node)
    agents = tuple(each for each in agents_of(fault, scene, node.node) if not each.undo)
    live = tuple(each for each in agents if not ended(each.pod))
    if why := _nothing_happened(fault, node.node, agents, live, scene):
        return _clean(node, NOTHING + why, now), (), ""
    if view is None and scene.seen.nodes and now >= fault.ends_at:
        # Whatever became of the machine, its kernel ended the fault by then.
        return _clean(node, "the node is no longer part of the cluster, and the fault's time is over", now), (), ""
    answers = view is not None and view.ready
    stopping = early or (answers and now >= fault.ends_at + OVERDUE)
    stops = tuple(StopAgent(each.pod.name) for each in live if stopping and not each.pod.deleting)
    if waits_for := _before_proof(fault, node, live, scene):
        return node, stops, waits_for
    proving = proof_by_agent(fault, node.node, scene)
    proven = _clean(node, proving.proof, now) if proving.proof else node
    return proven, (*stops, *proving.actions), proving.waits_for


def _before_proof(fault: FaultStatus, node: NodeFault, live: tuple[AgentView, ...], scene: Scene) -> str:
    """Return what has to be before a look at the node proves anything; empty once it does."""
    view = scene.seen.nodes.get(node.node)
    if live and scene.now < fault.ends_at + OVERDUE:
        return f"the fault agent on {node.node} to end"
    if view is None or not view.ready:
        return f"{node.node} to be Ready again"
    if scene.now < fault.starts_at + LATE:
        return f"the moment from which no agent on {node.node} can begin any more"
    return ""


def _nothing_happened(
    fault: FaultStatus, node: str, agents: tuple[AgentView, ...], live: tuple[AgentView, ...], scene: Scene
) -> str:
    """Return how it is known that no agent did anything on a node, or an empty text."""
    refused = [each.report for each in agents if each.report is not None and each.report.state == "Refused"]
    if agents and len(refused) == len(agents):
        return "; ".join(f"the agent refused ({each.reason}): {each.message}" for each in refused)
    since = scene.stage(fault.id).since
    settled = bool(agents) or since is None or scene.now >= since + IN_FLIGHT
    # Where the kubelet does not answer, an agent may be at work that is no longer seen.
    answers = node in scene.seen.nodes and scene.seen.nodes[node].ready
    if not live and settled and answers and scene.now < fault.starts_at:
        return "no agent was at work any more when the fault was to begin"
    return ""


def _uncordon(node: NodeFault, scene: Scene) -> tuple[NodeFault, tuple[Action, ...], str]:
    view = scene.seen.nodes.get(node.node)
    if node.injected_at is None and (view is None or view.cordoned_by != scene.run.meta.uid):
        return _clean(node, NOTHING + "the node was not cordoned", scene.now), (), ""
    if view is None and scene.seen.nodes:
        return _clean(node, "the node is no longer part of the cluster", scene.now), (), ""
    if view is None or view.cordoned_by == scene.run.meta.uid:
        return node, (Uncordon(node.node),), f"{node.node} to be uncordoned"
    proof = "the node can be scheduled to again"
    if view.cordoned:
        proof = "the run's cordon is gone; the node is cordoned by somebody else"
    return _clean(node.replace(undone_at=node.undone_at or scene.now), proof, scene.now), (), ""


def _replaced(fault: FaultStatus, node: NodeFault, scene: Scene) -> tuple[NodeFault, tuple[Action, ...], str]:
    """Prove of killed pods, of which there is nothing to undo, that others took their places, if they do in time."""
    if node.injected_at is None:
        return _clean(node, NOTHING + "no pod was killed", scene.now), (), ""
    load, serving = load_of(fault, scene), scene.seen.serving
    before = sum(len(each.pods) for each in scene.stage(load.id).serving) if load is not None else 0
    ready = 0 if isinstance(serving, Missing) else sum(len(pods) for pods in serving.values())
    told = f"{ready} of {before} endpoints are ready"
    if ready < before and scene.now < node.injected_at + ENDPOINTS_PATIENCE:
        return node, (), f"all of the {before} endpoints to be ready again"
    return _clean(node.replace(undone_at=node.injected_at), told, scene.now), (), ""


def _external(fault: FaultStatus, node: NodeFault, scene: Scene) -> tuple[NodeFault, tuple[Action, ...], str]:
    state, view = scene.seen.external.get(fault.id), scene.seen.nodes.get(node.node)
    if state is not None:
        return node, (), f"{fault.backend} to end fault {fault.id}" + (f" ({state.message})" if state.message else "")
    if view is None and not scene.seen.nodes:
        return node, (), f"{node.node} to be seen"
    if view is not None and not view.ready:
        return node, (), f"{node.node} to be Ready again"
    if view is not None and view.cordoned and not node.cordoned and fault.kind == "drain":
        return node, (), f"{node.node} to be uncordoned, which {fault.backend} drained"
    if node.injected_at is None and fault.state == "Intended":
        return _clean(node, f"{NOTHING}nothing of fault {fault.id} exists at {fault.backend}", scene.now), (), ""
    where = "the node is no longer part of the cluster" if view is None else "the node is Ready"
    proof = f"{fault.backend} recovered it and its objects are gone; {where}"
    undone = node.undone_at or (node.injected_at if fault.kind == "pod-kill" else scene.now)
    return _clean(node.replace(undone_at=undone), proof, scene.now), (), ""


def _clean(node: NodeFault, proof: str, now: dt.datetime) -> NodeFault:
    return node.replace(clean_at=now, proof=proof)


def _concluded(fault: FaultStatus) -> FaultStatus:
    """Return a fault all of whose nodes are clean with what it was: it happened unless nothing did, anywhere."""
    spared = [each for each in fault.nodes if each.proof.startswith(NOTHING) and each.injected_at is None]
    if len(spared) == len(fault.nodes):
        told = "; ".join(f"{each.node}: {each.proof}" for each in spared)
        return fault.replace(state="Refused", reason=fault.reason or "AgentRefused", message=fault.message or told)
    presumed = tuple(_presumed(fault, each) for each in fault.nodes)
    inferred = [each.node for each, was in zip(presumed, fault.nodes, strict=True) if each != was]
    fault = fault.replace(state="Undone", nodes=presumed)
    if fault.reason:
        return fault
    reason, message = _doubts(fault, spared, inferred)
    return fault.replace(reason=reason, message=message)


def _doubts(fault: FaultStatus, spared: list[NodeFault], inferred: list[str]) -> tuple[str, str]:
    """Return why a fault is no evidence, and what else is to be told of it."""
    unproven = [each.node for each in fault.nodes if each.injected_at is None]
    if spared:
        told = "; ".join(f"{each.node}: {each.proof}" for each in spared)
        return "AgentRefused", f"not all nodes failed: {told}"
    if unproven:
        if fault.kind == "spike":
            return "FaultNotProven", f"the agent on {', '.join(unproven)} left no report of what it made and saw"
        text = f"it is not proven that {', '.join(unproven)} failed: nobody saw it, and no agent left a report"
        return "FaultNotProven", text
    if short := cut_short(fault):
        return "FaultCutShort", short
    if inferred:
        text = f"the agent on {', '.join(inferred)} left no report; the node was seen NotReady, so it failed on time"
        return "", text
    return "", fault.message


def _presumed(fault: FaultStatus, node: NodeFault) -> NodeFault:
    """An agent begins on time or not at all, so a node whose failure was seen failed at the start."""
    if node.injected_at is not None or node.not_ready_at is None or not by_agents(fault) or fault.kind == "spike":
        return node
    return node.replace(injected_at=fault.starts_at)
