"""One fault on a few nodes, decided look by look: a world just large enough to see what becomes of it.

What is true of a node (``cut``) is apart from what is seen of it: a node that is cut off reports nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import attrs

from perfrun.api.chaos import Chaos
from perfrun.api.faults import FINALIZER, FaultStatus, ServingNode
from perfrun.api.plan import Plan, Stage
from perfrun.api.run import Frozen, Phase, RunSpec, RunStatus, StageStatus
from perfrun.api.service import Service
from perfrun.api.target import TargetSpec
from perfrun.lifecycle.faults import advance_fault, intend
from perfrun.lifecycle.progress import Progress, Scene
from perfrun.lifecycle.undoing import Undoing, undo
from perfrun.lifecycle.values import (
    AgentView,
    Cordon,
    Hold,
    KillPods,
    Meta,
    NodeView,
    PodView,
    Run,
    RunObservation,
    StartAgent,
    StartExternal,
    StopAgent,
    StopExternal,
    Uncordon,
)
from perfrun.manifests.external import ExternalState
from perfrun_kernels.contract import FaultReport

NOON = dt.datetime(2026, 11, 25, 12, 0, tzinfo=dt.UTC)
LOAD = Stage(id="s1-load", scenario=0, kind="load", seconds=60)
UID = "uid-1"


def seconds(number: float) -> dt.timedelta:
    return dt.timedelta(seconds=number)


def fault_stage(count: int = 1, inject: tuple[str, ...] | None = None) -> Stage:
    """Return the stage of a fault of the target's kind or, where it is told what to ``inject``, of kind spike."""
    parameters = {"count": count, "offset": 10, "seconds": 20, "nodes": 4}
    if inject is not None:
        parameters = {"kind": "spike", "backend": "native", **parameters, "nodes": 0, "spike": {"inject": [*inject]}}
    return Stage(id="s1-fault", scenario=0, kind="fault", alongside="s1-load", parameters=parameters)


CHAOS = Chaos(allowed=True, max_nodes=4, max_share=0.9)
WAITING = RunStatus()


@attrs.define
class Agent:
    """An agent's pod, and what it really does."""

    order: StartAgent
    view: AgentView
    injected: dt.datetime | None = None


@attrs.define
class Lab:
    """The world; ``fates`` make agents go wrong by node, ``undo_fates`` are what undoing agents report before Clean.

    With ``inject`` the fault is of kind spike.
    """

    count: int = 1
    inject: tuple[str, ...] | None = None
    chaos: Chaos = CHAOS
    now: dt.datetime = NOON
    nodes: dict[str, NodeView] = attrs.field(
        factory=lambda: {
            f"n{i}": NodeView(f"n{i}", ready=True, cordoned=False, labels={}, cpu=4.0) for i in range(1, 6)
        }
    )
    pods: dict[str, str] = attrs.field(factory=lambda: {f"web-{i}": f"n{i}" for i in range(1, 6)})
    agents: dict[str, Agent] = attrs.field(factory=dict)
    externals: dict[str, ExternalState] = attrs.field(factory=dict)
    foreign: tuple[str, ...] = ()
    cut: set[str] = attrs.field(factory=set)
    ever_cut: set[str] = attrs.field(factory=set)
    deadlines: dict[str, dt.datetime] = attrs.field(factory=dict)
    residue: set[str] = attrs.field(factory=set)
    fates: dict[str, str] = attrs.field(factory=dict)
    undo_fates: list[str] = attrs.field(factory=list)
    done: list[object] = attrs.field(factory=list)
    works: Callable[[object], bool] = lambda _action: True
    held: bool = False
    status: RunStatus = WAITING

    def __attrs_post_init__(self) -> None:
        target = TargetSpec(service=Service(name="web"), chaos=self.chaos)
        stages = (LOAD, self.planned)
        frozen = Frozen(
            feature="", feature_digest="", target=target, target_digest="", plan_digest="",
            plan=Plan(scenarios=(), stages=stages),
        )  # fmt: skip
        self.status = RunStatus(
            phase=Phase.RUNNING, frozen=frozen, stages=tuple(StageStatus(id=stage.id) for stage in stages)
        )

    @property
    def planned(self) -> Stage:
        return fault_stage(self.count, self.inject)

    @property
    def fault(self) -> FaultStatus:
        return self.status.faults[0]

    @property
    def stage(self) -> StageStatus:
        return self.status.stages[1]

    @property
    def failing(self) -> list[str]:
        return [each.node for each in self.fault.nodes]

    def scene(self) -> Scene:
        assert self.status.frozen is not None
        meta = Meta("llm", "shop", UID, finalizers=(FINALIZER,) if self.held else ())
        run = Run(meta, RunSpec(feature="", target_ref="t"), self.status)
        seen = RunObservation(
            nodes=dict(self.nodes), serving=self.serving(), foreign_faults=self.foreign, external=dict(self.externals),
            agents={name: each.view for name, each in self.agents.items()},
        )  # fmt: skip
        return Scene(run, self.status, self.status.frozen.target, seen, self.now)

    def serving(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for pod, node in sorted(self.pods.items()):
            if node in self.nodes and self.nodes[node].ready:
                found[node] = (*found.get(node, ()), pod)
        return found

    def load(self, state: str, **changes: object) -> None:
        """Let the load be in a state."""
        first, *others = self.status.stages
        self.status = self.status.replace(stages=(first.replace(state=state, **changes), *others))

    def begin(self) -> FaultStatus:
        """Intend the fault as the load's next attempt begins."""
        start_at = self.now + seconds(8)
        serving = tuple(ServingNode(node=node, pods=pods) for node, pods in self.serving().items())
        self.load("Starting", attempt=self.status.stages[0].attempt + 1, start_at=start_at, serving=serving)
        fault = intend(self.planned, start_at, self.scene())
        self.status = self.status.replace(faults=(fault,))
        return fault

    def look(self) -> Progress:
        """Decide, write, and do."""
        progress = advance_fault(self.planned, self.scene())
        self.status = self.scene().after(progress).status
        self._do(progress.actions)
        return progress

    def restore(self) -> Undoing:
        """Undo early, as a run does that ends."""
        undoing = undo(self.status.faults, self.scene(), early=True)
        self.status = self.status.replace(faults=undoing.faults)
        self._do(undoing.actions)
        return undoing

    def until(self, told: Callable[[], bool], look: Callable[[], object] | None = None, most: float = 200) -> None:
        """Look every half a second until something is so."""
        for _ in range(round(2 * most)):
            (look or self.look)()
            if told():
                return
            self.tick(0.5)
        raise AssertionError(self.status)

    def pass_time(self, until: dt.datetime) -> None:
        """Let time pass without anybody looking."""
        while self.now < until:
            self.tick(0.5)

    def tick(self, length: float) -> None:
        self.now += seconds(length)
        for name, agent in list(self.agents.items()):
            self._age(name, agent)
        # The kernel ends a fault whatever became of its agent.
        self.cut -= {node for node, deadline in self.deadlines.items() if self.now >= deadline}

    def vanish(self) -> None:
        """Let all agents' pods be gone, as when somebody removes them by force; what they did stays."""
        for agent in self.agents.values():
            if agent.injected is not None and agent.view.report is None:
                self.residue.add(agent.order.node)
        self.agents.clear()

    def remove(self, node: str) -> None:
        """Let a machine be gone for good, and its object with it."""
        self.nodes.pop(node, None)
        self.cut.discard(node)
        self.residue.discard(node)
        self.agents = {name: each for name, each in self.agents.items() if each.order.node != node}

    def clean(self) -> bool:
        """Whether really nothing is left."""
        cordoned = [each for each in self.nodes.values() if each.cordoned_by]
        return not (self.cut or self.residue or cordoned or self.agents or self.externals)

    def _do(self, actions: tuple[object, ...]) -> None:
        for action in actions:
            self.done.append(action)
            if self.works(action):
                self._act(action)

    def _act(self, action: object) -> None:
        match action:
            case Hold():
                self.held = True
            case StartAgent() if action.name not in self.agents:
                pod = PodView(action.name, action.name, "Pending", self.now, node=action.node)
                view = AgentView(pod, action.fault, action.node, action.kind == "undo")
                self.agents[action.name] = Agent(action, view)
            case StopAgent() if action.name in self.agents:
                agent = self.agents[action.name]
                agent.view = attrs.evolve(agent.view, pod=attrs.evolve(agent.view.pod, deleting=True))
            case Cordon() if action.node in self.nodes:
                was = self.nodes[action.node]
                if not was.cordoned:
                    self.nodes[action.node] = attrs.evolve(was, cordoned=True, cordoned_by=UID)
                self.pods = {pod: node for pod, node in self.pods.items() if node != action.node}
            case Uncordon() if action.node in self.nodes and self.nodes[action.node].cordoned_by == UID:
                self.nodes[action.node] = attrs.evolve(self.nodes[action.node], cordoned=False, cordoned_by="")
            case KillPods():
                self.pods = {pod: node for pod, node in self.pods.items() if pod not in action.pods}
            case StartExternal():
                self.externals.setdefault(action.fault.id, ExternalState("Pending", "being looked at"))
            case StopExternal():
                self.externals.pop(action.fault.id, None)

    def _age(self, name: str, agent: Agent) -> None:
        order, view = agent.order, agent.view
        if order.node not in self.nodes:
            del self.agents[name]
            return
        reachable = order.node not in self.cut
        fate = self.fates.get(order.node, "")
        if (
            view.report is not None
            or view.pod.phase in ("Succeeded", "Failed")
            or (view.pod.deleting and view.pod.phase == "Pending")
        ):
            if view.pod.deleting and reachable:
                del self.agents[name]
        elif order.kind == "undo":
            if reachable:
                self._undo(agent)
        elif view.pod.phase == "Pending":
            if fate in ("ImagePullBackOff", "Refused"):
                self._pod(agent, waiting=fate, message=f"because of {fate}")
            elif fate != "Slow" or self.now > order.starts_at:
                self._pod(agent, phase="Running")
        else:
            self._work(name, agent, fate)

    def _work(self, name: str, agent: Agent, fate: str) -> None:
        order = agent.order
        if agent.injected is None and agent.view.pod.deleting:
            del self.agents[name]
        elif agent.injected is None and fate == "Crash":
            self._pod(agent, phase="Failed", message="it broke")
        elif agent.injected is None and self.now >= order.starts_at:
            if fate == "Refuse" or self.now > order.starts_at + seconds(0.25):
                reason = "Late" if fate != "Refuse" else "NftRefused"
                self._report(agent, "Refused", reason)
                return
            agent.injected = self.now
            if order.kind != "spike":
                self.cut.add(order.node)
                self.ever_cut.add(order.node)
                self.deadlines[order.node] = order.ends_at
        elif agent.injected is not None and (
            self.now >= order.ends_at or (fate == "Short" and self.now > agent.injected)
        ):
            self.cut.discard(order.node)
            if fate == "Killed":
                self._pod(agent, phase="Failed", reason="Error", message="")
            else:
                self._report(agent, "Undone", "")

    def _undo(self, agent: Agent) -> None:
        state = self.undo_fates.pop(0) if self.undo_fates else "Clean"
        if state == "Clean":
            self.cut.discard(agent.order.node)
            self.residue.discard(agent.order.node)
        self._report(agent, state, "" if state == "Clean" else "TableLeft")

    def _report(self, agent: Agent, state: str, reason: str) -> None:
        order = agent.order
        report = FaultReport(
            order.fault, order.node, order.kind, state, proof="nothing is there", reason=reason,  # type: ignore[arg-type]
            message=f"because of {reason}" if reason else "",
            injected_at=agent.injected.timestamp() if agent.injected else None,
            undone_at=self.now.timestamp() if agent.injected else None,
        )  # fmt: skip
        agent.view = attrs.evolve(agent.view, report=report)
        self._pod(agent, phase="Succeeded")

    def _pod(self, agent: Agent, **changes: object) -> None:
        agent.view = attrs.evolve(agent.view, pod=attrs.evolve(agent.view.pod, **changes))

    def ready(self, node: str, *, ready: bool) -> None:
        """Let the cluster see a node as ready or not."""
        self.nodes[node] = attrs.evolve(self.nodes[node], ready=ready)
