"""Runs that load and break a simulated cluster, planned by hand, and a capability that keeps what it was shown."""

from __future__ import annotations

import datetime as dt

import attrs
from machines import Machine
from world import KEY, NOW, Sim, target_spec

from perfrun.api.chaos import Chaos
from perfrun.api.plan import Claim, Plan, PlannedScenario, PlannedStep, Stage
from perfrun.api.run import Frozen, Phase, RunSpec, RunStatus, Source, StageStatus, TimeWindow
from perfrun.api.service import Load, RequestLog, Service, Workload
from perfrun.api.target import TargetSpec
from perfrun.capabilities.base import Evidence, Measured, NotMeasured, QueryAnswer, ServedIds
from perfrun.lifecycle.values import Meta, Run

WORKLOAD = Workload(kind="StatefulSet", name="web", timeout="30s")
CHAOS = Chaos(allowed=True, max_nodes=2, max_share=0.5, max_duration="1m")


@attrs.define
class Witness:
    """Measures what the tests ask about: whether all generators handed in, and keeps the evidence."""

    name: str = "witness"
    shown: list[Evidence] = attrs.field(factory=list)

    def measure(self, claim: Claim, evidence: Evidence, confidence: float) -> Measured | NotMeasured:
        self.shown.append(evidence)
        if evidence.lost_reason:
            return NotMeasured(evidence.lost_reason, evidence.lost_message, broken=evidence.broken)
        if bad := [each for each in evidence.shards if each.outcome != "Completed"]:
            return NotMeasured(bad[0].reason, bad[0].message)
        if evidence.fault is not None and evidence.fault.reason:
            return NotMeasured(evidence.fault.reason, evidence.fault.message)
        value = float(len(evidence.shards)) if evidence.answer is None else 1.0
        window = TimeWindow(start=NOW, end=NOW + dt.timedelta(seconds=1))
        return Measured(value, value, value, 1, 1.0, window, Source(kind="Pod", name="generators"))


@attrs.frozen
class Wish:
    """What a scenario has besides its load."""

    scale: int = 0
    fail: int = 0
    ids: bool = False
    cpu: bool = False
    shards: int = 1
    attempts: int = 2
    offset: float = 4.0
    seconds: float = 5.0
    kind: str = "isolate"
    backend: str = "native"


def stages_of(index: int, wish: Wish) -> tuple[Stage, ...]:
    load = f"s{index + 1}-load"
    schedule = [{"seconds": 15.0, "rate": 100.0}]
    found = [
        Stage(
            id=load, scenario=index, kind="load", program="load", shards=wish.shards, seconds=15, timeout=60,
            attempts=wish.attempts, start_timeout=60,
            parameters={"url": "http://web.$namespace.svc:80/", "schedule": schedule, "lead_seconds": 6.0},
        )
    ]  # fmt: skip
    if wish.scale:
        scale = Stage(
            id=f"s{index + 1}-scale", scenario=index, kind="scale", parameters={"replicas": wish.scale}, timeout=30
        )
        found.insert(0, scale)
    if wish.fail:
        parameters = {
            "count": wish.fail, "offset": wish.offset, "seconds": wish.seconds, "nodes": 3, "kind": wish.kind,
            "backend": wish.backend,
        }  # fmt: skip
        found.append(
            Stage(
                id=f"s{index + 1}-fault", scenario=index, kind="fault", alongside=load, seconds=wish.seconds,
                parameters=parameters,
            )
        )  # fmt: skip
    if wish.ids:
        found.append(Stage(id=f"s{index + 1}-ids", scenario=index, kind="ids", parameters={"after": load}))
    if wish.cpu:
        found.append(
            Stage(
                id=f"s{index + 1}-cpu", scenario=index, kind="query", timeout=10,
                parameters={"query": "cpu[$window]", "after": load, "offset": 5.0},
            )
        )  # fmt: skip
    return tuple(found)


def planned(index: int, wish: Wish) -> PlannedScenario:
    claims = [("all generators hand in", f"s{index + 1}-load", float(wish.shards))]
    if wish.cpu:
        claims.append(("CPU is asked", f"s{index + 1}-cpu", 1.0))
    steps = tuple(
        PlannedStep(
            keyword="Then", text=text, line=3,
            claim=Claim(subject="witness.sum", label=text, comparator=">=", limit=limit, unit="1", stage=stage),
        )
        for text, stage, limit in claims
    )  # fmt: skip
    return PlannedScenario(name=f"scenario {index + 1}", line=2, steps=steps)


def target_of(*wishes: Wish, **changes) -> TargetSpec:
    log = RequestLog(container="web") if any(each.ids for each in wishes) else None
    workload = WORKLOAD if any(each.scale for each in wishes) else None
    chaos = CHAOS.replace(kind=wishes[0].kind, backend=wishes[0].backend) if wishes else CHAOS
    spec = target_spec(service=Service(name="web", request_log=log, workload=workload), load=Load(), chaos=chaos)
    return spec.replace(**changes)


def sim_loaded(*wishes: Wish, nodes: int = 5, replicas: int | None = None, **changes) -> Sim:
    """Return a world with a run under way, of one scenario for each wish, on so many nodes that serve."""
    sim = Sim()
    target = target_of(*wishes, **changes)
    stages = tuple(stage for index, wish in enumerate(wishes) for stage in stages_of(index, wish))
    plan = Plan(scenarios=tuple(planned(index, wish) for index, wish in enumerate(wishes)), stages=stages)
    frozen = Frozen(
        feature="", feature_digest="", target=target, target_digest="", plan=plan, plan_digest=plan.digest()
    )
    status = RunStatus(
        phase=Phase.RUNNING, started_at=NOW, frozen=frozen, stages=tuple(StageStatus(id=each.id) for each in stages)
    )
    created = NOW - dt.timedelta(seconds=10)
    spec = RunSpec(feature="", target_ref="llm")
    sim.runs[KEY.name] = Run(Meta(KEY.name, "team", "uid-1", created=created), spec, status)
    sim.machines = {f"node-{i}": Machine(f"node-{i}", {"kubernetes.io/hostname": f"node-{i}"}) for i in range(nodes)}
    sim.replicas = replicas if replicas is not None else nodes
    sim.age()
    sim.logged = lambda: ServedIds(("a-1",), ("web-000",))
    sim.answer = lambda _query: QueryAnswer(query="", window=None, series={"{}": ((NOW.timestamp(), 0.5),)})
    return sim
