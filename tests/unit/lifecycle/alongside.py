"""Pods that measure alongside a load in the simulated world: where they run, whom they talk to, and how they end."""

from __future__ import annotations

import datetime as dt

import attrs
from loaded import target_of
from machines import Machine
from world import KEY, NOW, Sim

from perfrun.api.plan import Claim, Plan, PlannedScenario, PlannedStep, Stage
from perfrun.api.run import Frozen, Phase, RunSpec, RunStatus, StageStatus
from perfrun.api.target import TargetSpec
from perfrun.lifecycle.values import Meta, PodView, Run, StartPod
from perfrun.ports import Unavailable, result_path
from perfrun_kernels.contract import Result

LEAD, OFFSET, LASTS, SLOT = 6.0, 5.0, 20.0, 10.0
"""Seconds: a load's lead, when the pods begin in it, how long it lasts, and how long each measures."""

NAMES = ("server", "other", "same", "hostserver", "host")
RATE = 800.0


@attrs.define
class Paths(Sim):
    """A world in which pods have nodes and addresses.

    ``orders`` are the pods that were asked for, by name. Pods of the stage ``stuck`` never go, as on a dead node.
    """

    orders: dict[str, StartPod] = attrs.field(factory=dict)
    stuck: str = ""

    async def stop_pod(self, run, name):
        if self.stuck and self.stages[name][0] == self.stuck:
            self.pods[name] = attrs.evolve(self.pods[name], deleting=True)
            return
        await super().stop_pod(run, name)

    async def start_pod(self, run, action):
        self.effect()
        stage = action.stage
        if action.name not in self.pods:
            self.started.append((stage.id, action.attempt))
            self.stages[action.name] = (stage.id, action.attempt)
            self.orders[action.name] = action
            pod = PodView(
                action.name, action.name, "Pending", self.time, stage=stage.id, attempt=action.attempt
            )  # fmt: skip
            self.pods[action.name] = pod
            if self.fate(stage.id, action.attempt) == "Refused":
                self.pods[action.name] = attrs.evolve(
                    pod, waiting="Refused", message="the API server refuses it: violates PodSecurity", stage=""
                )
                self.effect()
                raise Unavailable
        self.effect()

    def _aged(self, pod: PodView, stage: str, attempt: int, fate: str) -> PodView:
        order = self.orders[pod.name]
        if pod.phase == "Pending":
            return self._scheduled(pod, order, fate)
        if pod.phase != "Running" or (pod.deleting and stage == self.stuck):
            return pod
        begins = dt.datetime.fromtimestamp(order.stage.parameters["start_at"], dt.UTC)
        ends = begins + dt.timedelta(seconds=SLOT)
        if fate == "EvictedEarly" or (fate == "EvictedLate" and self.time > begins):
            return attrs.evolve(pod, phase="Failed", reason="Evicted", finished=self.time)
        if fate == "Nonsense":
            self.files[self.path(stage, attempt)] = b"hello, world"
        elif pod.started is not None and pod.started > begins:
            self._measured(stage, attempt, begins, "LateStart")
        elif fate == "LateStart" or (fate and self.time >= ends):
            self._measured(stage, attempt, begins, fate)
        elif self.time >= ends:
            self._measured(stage, attempt, begins, "")
        else:
            return pod
        return attrs.evolve(pod, phase="Succeeded", finished=self.time)

    def _scheduled(self, pod: PodView, order: StartPod, fate: str) -> PodView:
        if pod.waiting == "Refused" or fate == "Slow":
            return pod
        free = [name for name in self.machines if name not in order.avoid and order.on in ("", name)]
        if not free or fate == "Unschedulable":
            return attrs.evolve(pod, waiting="Unschedulable", message="0/1 nodes are available")
        number = list(self.machines).index(free[0])
        ip = f"192.168.0.{number}" if order.stage.host_network else f"10.0.{number}.{len(self.orders)}"
        return attrs.evolve(pod, phase="Running", node=free[0], ip=ip, started=self.time, waiting="")

    def _measured(self, stage: str, attempt: int, begins: dt.datetime, reason: str) -> None:
        result = Result(
            run=KEY.name, stage=stage, attempt=attempt, outcome="Unmeasurable" if reason else "Completed",
            reason=reason, message=f"because of {reason}", started=begins.timestamp(),
            finished=begins.timestamp() + SLOT,
        )  # fmt: skip
        self.files[self.path(stage, attempt)] = result.to_json().encode()

    def path(self, stage: str, attempt: int) -> str:
        return result_path("uid-1", stage, attempt)

    def order(self, name: str, attempt: int = 1) -> StartPod:
        return next(each for each in self.orders.values() if (each.stage.id, each.attempt) == (f"s1-{name}", attempt))

    def kept(self) -> list[str]:
        """Say what still runs, in words; nothing, as it should be after a run."""
        return [*self.left(), *(name for name, pod in self.pods.items() if pod.phase in ("Pending", "Running"))]


def stages(attempts: int = 2) -> tuple[Stage, ...]:
    def load(name: str, lasts: float, rates: tuple[float, ...], **more) -> Stage:
        schedule = [{"seconds": lasts / len(rates), "rate": rate} for rate in rates]
        return Stage(
            id=f"s1-{name}", scenario=0, kind="load", program="load", seconds=lasts, timeout=60, attempts=attempts,
            start_timeout=60, parameters={"url": "http://web/", "schedule": schedule, "lead_seconds": LEAD}, **more,
        )  # fmt: skip

    def pod(name: str, **more) -> Stage:
        return Stage(
            id=f"s1-{name}", scenario=0, kind="pod", program="network", alongside="s1-load", offset=OFFSET, timeout=60,
            seconds=SLOT, parameters={"role": name}, **more,
        )  # fmt: skip

    return (
        load("peak", 8, (100.0, 200.0)),
        load("load", LASTS, (1.0, 0.5), rate_of="s1-peak"),
        pod("server"),
        pod("other", apart="s1-server", peer="s1-server"),
        pod("same", beside="s1-server", peer="s1-server"),
        pod("hostserver", beside="s1-server", host_network=True),
        pod("host", beside="s1-other", peer="s1-hostserver", host_network=True),
    )


def paths(nodes: int = 3, attempts: int = 2, target: TargetSpec | None = None) -> Paths:
    """Return a world with a run under way whose one scenario measures paths alongside a load at the peak."""
    sim = Paths()
    step = PlannedStep(
        keyword="Then", text="it is fast", line=3,
        claim=Claim(subject="witness.sum", label="it", comparator=">=", limit=1.0, unit="1", stage="s1-other"),
    )  # fmt: skip
    mine = stages(attempts)
    plan = Plan(scenarios=(PlannedScenario(name="paths", line=2, steps=(step,)),), stages=mine)
    frozen = Frozen(
        feature="", feature_digest="", target=target or target_of(), target_digest="", plan=plan,
        plan_digest=plan.digest(),
    )  # fmt: skip
    begun = tuple(StageStatus(id=each.id) for each in mine)
    status = RunStatus(phase=Phase.RUNNING, started_at=NOW, frozen=frozen, stages=begun)
    meta = Meta(KEY.name, "team", "uid-1", created=NOW - dt.timedelta(seconds=10))
    sim.runs[KEY.name] = Run(meta, RunSpec(feature="", target_ref="llm"), status)
    sim.machines = {f"node-{i}": Machine(f"node-{i}") for i in range(nodes)}
    sim.replicas = nodes
    sim.age()
    return sim
