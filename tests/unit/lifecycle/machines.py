"""Nodes, servers, generators and fault agents in memory: the part of the simulated world that runs load or break."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import attrs

from perfrun.api.faults import FINALIZER, FaultStatus
from perfrun.api.plan import Stage
from perfrun.capabilities.base import ServedIds
from perfrun.lifecycle.values import (
    AgentView,
    Cordon,
    Hold,
    KillPods,
    Missing,
    NodeView,
    OtherRun,
    PodView,
    Release,
    Run,
    Scale,
    StartAgent,
    StartExternal,
    StartLoad,
    StopAgent,
    StopExternal,
    StopLoad,
    Uncordon,
    WorkloadView,
)
from perfrun.manifests.external import ExternalState
from perfrun.ports import Conflict, shard_path
from perfrun_kernels.contract import FaultReport, Result, Scalar

DETECTION = dt.timedelta(seconds=2)
"""How long a node is down before the cluster notices, and how long it is up again before that is noticed."""


@attrs.define
class Machine:
    """A node; ``down`` since a moment (nobody reaches it), ``changed`` when that last changed."""

    name: str
    labels: dict[str, str] = attrs.field(factory=dict)
    down: bool = False
    changed: dt.datetime | None = None
    ready: bool = True
    cordoned: bool = False
    cordoned_by: str = ""


@attrs.define
class Agent:
    """A fault agent and how far it has come."""

    order: StartAgent
    view: AgentView
    injected_at: dt.datetime | None = None


@attrs.define
class External:
    """A fault that another tool carries out."""

    fault: FaultStatus
    state: ExternalState


@attrs.define
class Machines:
    """What a disturbed cluster holds; ``broken`` tells every node that a fault was really done to, and when."""

    time: dt.datetime
    files: dict[str, bytes] = attrs.field(factory=dict)
    runs: dict[str, Run] = attrs.field(factory=dict)
    machines: dict[str, Machine] = attrs.field(factory=dict)
    servers: dict[str, str] = attrs.field(factory=dict)
    replicas: int | None = None
    jobs: dict[str, StartLoad] = attrs.field(factory=dict)
    load_pods: dict[str, PodView] = attrs.field(factory=dict)
    agents: dict[str, Agent] = attrs.field(factory=dict)
    externals: dict[str, External] = attrs.field(factory=dict)
    other_runs: tuple[OtherRun, ...] = ()
    foreign: tuple[str, ...] = ()
    spared: dict[str, str] = attrs.field(factory=dict)
    lacking: str = ""
    fate: Callable[[str, int], str] = lambda _stage, _attempt: ""
    agent_fate: Callable[[str], str] = lambda _node: ""
    logged: Callable[[], ServedIds] = lambda: ServedIds((), ())
    changes: list[object] = attrs.field(factory=list)
    restarting: dict[str, dt.datetime] = attrs.field(factory=dict)
    broken: list[tuple[str, dt.datetime]] = attrs.field(factory=list)
    reads: list[str] = attrs.field(factory=list)
    effects: int = 0

    def effect(self) -> None:
        self.effects += 1

    async def nodes(self):
        self.reads.append("nodes")
        return {
            name: NodeView(name, each.ready, each.cordoned, each.labels, 4.0, each.cordoned_by)
            for name, each in self.machines.items()
        }

    async def serving(self, _namespace, service):
        self.reads.append("serving")
        if not self.machines:
            return Missing("ServiceNotFound", f"Service {service} was not found")
        found: dict[str, list[str]] = {}
        for pod, node in sorted(self.servers.items()):
            if self.machines[node].ready:
                found.setdefault(node, []).append(pod)
        return {node: tuple(pods) for node, pods in found.items()}

    async def workload(self, _namespace, workload):
        self.reads.append("workload")
        if self.replicas is None:
            return Missing("WorkloadNotFound", f"{workload.kind} {workload.name} was not found")
        ready = sum(self.machines[node].ready for node in self.servers.values())
        return WorkloadView(self.replicas, ready)

    async def jobs_of(self, _run):
        self.reads.append("jobs")
        return frozenset(self.jobs)

    async def agents_of(self, _run):
        self.reads.append("agents")
        return {name: each.view for name, each in self.agents.items()}

    async def foreign_faults(self, _run):
        self.reads.append("foreign_faults")
        return self.foreign

    async def external_of(self, _run):
        self.reads.append("external")
        return {name: each.state for name, each in self.externals.items()}

    async def protected(self, _run, _prometheus):
        self.reads.append("protected")
        return self.spared

    async def others(self, _run):
        self.reads.append("others")
        return self.other_runs

    async def denied(self, _run):
        self.reads.append("denied")
        return self.lacking

    async def served_ids(self, _run: Run, _stage: Stage, _since):
        self.reads.append("ids")
        return self.logged()

    async def change(self, run, action):  # noqa: C901, PLR0912 -- one branch a change
        self.effect()
        self.changes.append(action)
        match action:
            case Hold() | Release():
                self._finalizer(run, action)
            case StartLoad():
                self.jobs.setdefault(action.name, action)
            case StopLoad():
                self._stop_load(action.name)
            case StartAgent():
                self._start_agent(action)
            case StopAgent():
                self._stop_agent(action.name)
            case Cordon():
                self._cordon(action.node, run.meta.uid)
            case Uncordon():
                node = self.machines[action.node]
                if node.cordoned_by == run.meta.uid:
                    node.cordoned, node.cordoned_by = False, ""
            case KillPods():
                for pod in action.pods:
                    if self.servers.pop(pod, None) is not None:
                        self.restarting[pod] = self.time + DETECTION
            case Scale():
                self.replicas = action.replicas if self.replicas is not None else None
            case StartExternal():
                self.externals.setdefault(action.fault.id, External(action.fault, ExternalState("Pending")))
            case StopExternal():
                self.externals.pop(action.fault.id, None)
        self.effect()

    def _finalizer(self, run, action):
        current = self.runs.get(run.meta.name)
        if current is None:
            raise Conflict
        others = tuple(each for each in current.meta.finalizers if each != FINALIZER)
        wanted = (*others, FINALIZER) if isinstance(action, Hold) else others
        if set(wanted) == set(current.meta.finalizers):
            return
        if isinstance(action, Hold) and current.meta.deleting:
            raise Conflict
        version = str(int(current.meta.resource_version or 0) + 1)
        meta = attrs.evolve(current.meta, finalizers=wanted, resource_version=version)
        self.runs[run.meta.name] = attrs.evolve(current, meta=meta)
        if meta.deleting and not wanted:
            del self.runs[run.meta.name]

    def _stop_load(self, name):
        action = self.jobs.pop(name, None)
        if action is not None:
            for pod, view in list(self.load_pods.items()):
                if (view.stage, view.attempt) == (action.stage.id, action.attempt):
                    del self.load_pods[pod]

    def _start_agent(self, action):
        if action.name not in self.agents:
            pod = PodView(action.name, action.name, "Pending", self.time, node=action.node)
            self.agents[action.name] = Agent(
                action, AgentView(pod, action.fault, action.node, undo=action.kind == "undo")
            )

    def _stop_agent(self, name):
        agent = self.agents.get(name)
        if agent is None:
            return
        if agent.view.report is not None or agent.view.pod.phase == "Pending":
            del self.agents[name]
            return
        agent.view = attrs.evolve(agent.view, pod=attrs.evolve(agent.view.pod, deleting=True))

    def _cordon(self, node, uid):
        machine = self.machines[node]
        if not machine.cordoned:
            machine.cordoned, machine.cordoned_by = True, uid
        for pod in [pod for pod, where in self.servers.items() if where == node]:
            del self.servers[pod]
        self.broken.append((node, self.time))

    def age(self) -> None:
        """Let what is there become what time makes of it."""
        for agent in list(self.agents.values()):
            self._age_agent(agent)
        for machine in self.machines.values():
            due = machine.changed is None or self.time >= machine.changed + DETECTION
            if due and machine.ready == machine.down:
                machine.ready = not machine.down
        self._schedule()
        for action in list(self.jobs.values()):
            for shard in range(action.stage.shards):
                self._age_generator(action, shard)
        for each in self.externals.values():
            self._age_external(each)

    def _schedule(self) -> None:
        if self.replicas is None:
            return
        free = [each.name for each in self.machines.values() if each.ready and not each.cordoned]
        while len(self.servers) > self.replicas:
            del self.servers[max(self.servers)]
        number, wanted = 0, self.replicas
        while len(self.servers) < wanted and free:
            name, number = f"web-{number:03d}", number + 1
            if self.time < self.restarting.get(name, self.time):
                wanted -= 1
            elif name not in self.servers:
                loads = {each: sum(node == each for node in self.servers.values()) for each in free}
                self.servers[name] = min(free, key=lambda node: (loads[node], node))

    def _age_agent(self, agent: Agent) -> None:
        order, view, machine = agent.order, agent.view, self.machines.get(agent.order.node)
        if view.report is not None or machine is None:
            return
        if view.pod.phase == "Pending":
            slow = order.kind != "undo" and self.agent_fate(order.node) == "Slow"
            if not machine.down and not slow:
                agent.view = attrs.evolve(view, pod=attrs.evolve(view.pod, phase="Running", started=self.time))
            return
        if order.kind == "undo":
            machine.down = False
            self._report(agent, FaultReport(order.fault, order.node, "undo", "Clean", proof="nothing is left"))
            return
        reached = agent.injected_at is None or not machine.down
        if view.pod.deleting and reached:
            self._end(agent, machine)
        elif agent.injected_at is None and self.time >= order.starts_at:
            agent.injected_at, machine.down, machine.changed = self.time, True, self.time
            self.broken.append((machine.name, self.time))
        elif agent.injected_at is not None and self.time >= order.ends_at:
            self._end(agent, machine)

    def _end(self, agent: Agent, machine: Machine) -> None:
        order, began = agent.order, agent.injected_at
        if agent.view.pod.deleting and began is None:
            del self.agents[order.name]
            return
        machine.down, machine.changed = False, self.time
        at = began.timestamp() if began is not None else None
        report = FaultReport(order.fault, order.node, order.kind, "Undone", at, self.time.timestamp(), proof="seen")
        self._report(agent, report)
        if agent.view.pod.deleting:
            del self.agents[order.name]

    def _report(self, agent: Agent, report: FaultReport) -> None:
        pod = attrs.evolve(agent.view.pod, phase="Succeeded", finished=self.time)
        agent.view = attrs.evolve(agent.view, pod=pod, report=report)

    def _age_external(self, each: External) -> None:
        if each.state.phase == "Pending" and self.time >= each.fault.starts_at:
            each.state = ExternalState("Injected")
            self.broken.extend((node.node, self.time) for node in each.fault.nodes)
        elif each.state.phase == "Injected" and self.time >= each.fault.ends_at:
            each.state = ExternalState("Recovered")

    def _age_generator(self, action: StartLoad, shard: int) -> None:
        stage, name = action.stage, f"{action.name}-{shard}"
        pod = self.load_pods.get(name)
        fate = self.fate(stage.id, action.attempt)
        if pod is None:
            self.load_pods[name] = PodView(
                name, name, "Pending", self.time, index=shard, stage=stage.id, attempt=action.attempt, node="gen"
            )
        elif pod.phase == "Pending":
            if fate in ("Unschedulable", "ImagePullBackOff"):
                self.load_pods[name] = attrs.evolve(pod, waiting=fate, message=f"because of {fate}")
            elif fate != "Slow" or self.time > action.start_at:
                self.load_pods[name] = attrs.evolve(pod, phase="Running", started=self.time)
        elif pod.phase == "Running":
            self._run_generator(action, shard, pod, fate)

    def _run_generator(self, action: StartLoad, shard: int, pod: PodView, fate: str) -> None:
        ended = attrs.evolve(pod, phase="Succeeded", finished=self.time)
        if fate == "Nonsense":
            self.files[self.shard_file(action, shard)] = b"hello, world"
        elif fate == "Dies" and self.time >= action.start_at + dt.timedelta(seconds=6):
            ended = attrs.evolve(ended, phase="Failed", reason="Evicted")
        elif fate in ("Evicted", "OOMKilled", "Error"):
            ended = attrs.evolve(ended, phase="Failed", reason=fate, exit_code=1)
        elif pod.started is not None and pod.started > action.start_at:
            self._hand_in(action, shard, "LateStart")
        elif fate in ("GeneratorSaturated", "LateStart"):
            self._hand_in(action, shard, fate)
        elif fate in ("Hang", "Dies") or self.time < action.start_at + dt.timedelta(seconds=action.stage.seconds):
            return
        elif fate != "Silent":
            self._hand_in(action, shard, "")
        self.load_pods[pod.name] = ended

    def _hand_in(self, action: StartLoad, shard: int, reason: str) -> None:
        start = action.start_at.timestamp()
        result = Result(
            run=next(iter(self.runs.values())).meta.name, stage=action.stage.id, attempt=action.attempt,
            outcome="Unmeasurable" if reason else "Completed", reason=reason, message=f"because of {reason}",
            started=start, finished=start + action.stage.seconds,
            scalars={"ledger.ok": Scalar("requests", 100.0)}, facts={"shard": shard},
        )  # fmt: skip
        self.files[self.shard_file(action, shard)] = result.to_json().encode()

    def shard_file(self, action: StartLoad, shard: int) -> str:
        run = next(iter(self.runs.values()))
        return shard_path(run.meta.uid, action.stage.id, action.attempt, shard)

    def left(self) -> list[str]:
        """Say what a run left behind, in words; nothing, as it should be."""
        nodes = [f"{each.name} is down" for each in self.machines.values() if each.down]
        nodes += [f"{each.name} is cordoned" for each in self.machines.values() if each.cordoned_by]
        held = [f"{run.meta.name} is held" for run in self.runs.values() if FINALIZER in run.meta.finalizers]
        kept = [*self.jobs, *self.load_pods, *self.agents, *self.externals]
        return nodes + held + [f"{name} is there" for name in kept]
