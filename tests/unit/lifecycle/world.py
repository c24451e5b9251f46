"""A world in memory for decisions: it keeps what was persisted, and dies between any two effects when asked to."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable

import attrs
from machines import Machines

from perfrun.adapters.drive import World, drive
from perfrun.api.feature import FeatureSpec, FeatureStatus
from perfrun.api.kept import ForecastSpec, ForecastStatus
from perfrun.api.run import ArtifactLink, RunSpec, RunStatus
from perfrun.api.target import LLM, Pods, Prometheus, TargetSpec, TargetStatus
from perfrun.capabilities.base import QueryAnswer
from perfrun.lifecycle.values import Feature, Kept, Key, Meta, PodView, Run, Target
from perfrun.ports import Conflict, result_path
from perfrun_kernels.contract import Result, Scalar, Series

NOW = dt.datetime(2026, 1, 5, 12, 0, tzinfo=dt.UTC)
KEY = Key("PerfRun", "team", "llm-1")


class Killed(BaseException):
    """The operator died; nothing in it can catch that."""


@attrs.define
class Fate:
    """What becomes of the pods of a stage: reasons of failure by attempt, then success."""

    failures: tuple[str, ...] = ()
    step_seconds: float = 0.005


@attrs.define
class Sim(Machines):
    """Cluster, metrics, artifacts and clock in one."""

    features: dict[str, Feature] = attrs.field(factory=dict)
    targets: dict[str, Target] = attrs.field(factory=dict)
    forecasts: dict[str, Kept] = attrs.field(factory=dict)
    unkept: str = ""
    config_maps: dict[tuple[str, str], str] = attrs.field(factory=dict)
    pods: dict[str, PodView] = attrs.field(factory=dict)
    started: list[tuple[str, int]] = attrs.field(factory=list)
    stages: dict[str, tuple[str, int]] = attrs.field(factory=dict)
    events: list[tuple[str, str]] = attrs.field(factory=list)
    images_seen: dict[str, str] = attrs.field(factory=dict)
    answer: Callable[[str], QueryAnswer | None] = lambda _query: None
    step_seconds: float = 0.005
    time: dt.datetime = NOW
    die_at: int = -1
    path_of: Callable[[str, int], str] | None = None
    queries: list[str] = attrs.field(factory=list)

    def effect(self) -> None:
        self.effects += 1
        if self.effects == self.die_at:
            raise Killed

    @property
    def world(self) -> World:
        return World(cluster=self, metrics=self, artifacts=self, clock=self)

    def now(self) -> dt.datetime:
        return self.time

    async def run(self, key: Key) -> Run | None:
        return self.runs.get(key.name)

    async def feature(self, key: Key) -> Feature | None:
        return self.features.get(key.name)

    async def target(self, key: Key) -> Target | None:
        return self.targets.get(key.name)

    async def forecast(self, key: Key) -> Kept | None:
        return self.forecasts.get(key.name)

    async def forecasts_of(self, _namespace, target):
        self.reads.append("forecasts")
        return tuple(each for each in self.forecasts.values() if each.spec.target_ref == target)

    async def config_map_key(self, _namespace, ref):
        return self.config_maps.get((ref.name, ref.key))

    async def runs_of(self, feature: Feature):
        return tuple(run for run in self.runs.values() if run.spec.feature_ref == feature.meta.name)

    async def pods_of(self, run: Run):
        self.reads.append("pods")
        mine = {name: pod for name, pod in self.pods.items() if name.startswith(run.meta.name)}
        return mine | self.load_pods

    async def images(self, _namespace, _selector):
        return dict(self.images_seen)

    def _bumped(self, was, status):
        self.effect()
        kept = {Run: self.runs, Feature: self.features, Target: self.targets, Kept: self.forecasts}[type(was)]
        current = kept[was.meta.name]
        if current.meta.resource_version != was.meta.resource_version:
            raise Conflict
        meta = attrs.evolve(current.meta, resource_version=str(int(current.meta.resource_version or 0) + 1))
        kept[was.meta.name] = attrs.evolve(current, meta=meta, status=type(status).from_wire(status.to_wire()))
        self.effect()
        return kept[was.meta.name]

    async def save_run(self, run, status):
        return self._bumped(run, status)

    async def save_feature(self, feature, status):
        return self._bumped(feature, status)

    async def save_target(self, target, status):
        return self._bumped(target, status)

    async def save_forecast(self, kept, status):
        return self._bumped(kept, status)

    async def keep(self, run, action):
        self.effect()
        if self.unkept:
            return self.unkept
        if action.name not in self.forecasts:
            meta = Meta(action.name, run.meta.namespace, action.name, created=self.time)
            spec = ForecastSpec.from_wire(action.spec.to_wire())
            self.forecasts[action.name] = Kept(meta, spec, ForecastStatus())
        self.effect()
        return ""

    async def discard(self, _namespace, name):
        self.effect()
        self.forecasts.pop(name, None)

    async def start_pod(self, run, action):
        self.effect()
        if action.name not in self.pods:
            self.started.append((action.stage.id, action.attempt))
            self.stages[action.name] = (action.stage.id, action.attempt)
            self.pods[action.name] = PodView(
                name=action.name, uid=action.name, phase="Pending", created=self.time, node="n1"
            )
        self.effect()

    async def stop_pod(self, run, name):
        self.effect()
        self.pods.pop(name, None)
        self.load_pods.pop(name, None)
        self.effect()

    async def create_run(self, feature, action):
        self.effect()
        if action.name not in self.runs:
            meta = Meta(name=action.name, namespace=feature.meta.namespace, uid=action.name, created=self.time)
            self.runs[action.name] = Run(meta, RunSpec.from_wire(action.spec.to_wire()), RunStatus())
        self.effect()

    async def cancel_run(self, _namespace, name):
        self.effect()
        run = self.runs[name]
        self.runs[name] = attrs.evolve(run, spec=run.spec.replace(cancel=True))

    async def delete_run(self, _namespace, name):
        self.effect()
        self.runs.pop(name, None)

    async def emit(self, about, event):
        self.effect()
        self.events.append((event.reason, event.message))

    async def instant(self, server, query, window):
        self.queries.append(query)
        return attrs.evolve(self.answer(query), query=query, window=window)

    async def range(self, server, query, window):
        return await self.instant(server, query, window)

    async def put(self, path, content):
        self.effect()
        self.files[path] = content
        return self._link(path)

    def _link(self, path):
        content = self.files[path]
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        return ArtifactLink(name=path, url=f"memory:///{path}", digest=digest, bytes=len(content))

    async def get(self, path):
        return (self._link(path), self.files[path]) if path in self.files else None

    async def delete_tree(self, path):
        self.files = {name: each for name, each in self.files.items() if not name.startswith(path)}

    def tick(self, seconds: float = 1.0) -> None:
        """Let time pass: pending pods run, running pods end as their fate says."""
        self.time += dt.timedelta(seconds=seconds)
        for name, pod in list(self.pods.items()):
            stage, attempt = self.stages[name]
            fate = self.fate(stage, attempt)
            self.pods[name] = self._aged(pod, stage, attempt, fate)
        self.age()

    def _aged(self, pod: PodView, stage: str, attempt: int, fate: str) -> PodView:  # noqa: PLR0911 -- one return a fate
        match pod.phase, fate:
            case "Pending", "Unschedulable" | "ImagePullBackOff" | "InvalidImageName":
                return attrs.evolve(pod, waiting=fate, message=f"because of {fate}")
            case "Pending", _:
                return attrs.evolve(pod, phase="Running", started=self.time)
            case "Running", "Hang":
                return pod
            case "Running", "Lost":
                return attrs.evolve(pod, phase="Unknown")
            case "Running", "Silent":
                return attrs.evolve(pod, phase="Succeeded", finished=self.time, message="hello, world")
            case "Running", "Nonsense":
                self.files[self.path(stage, attempt)] = b"hello, world"
                return attrs.evolve(pod, phase="Succeeded", finished=self.time)
            case "Running", "OOMKilled" | "Evicted" | "DeadlineExceeded" | "Error":
                code = 137 if fate == "OOMKilled" else 1
                return attrs.evolve(pod, phase="Failed", reason=fate, exit_code=code, finished=self.time)
            case "Running", _:
                self.files[self.path(stage, attempt)] = self.result(stage, attempt).to_json().encode()
                return attrs.evolve(pod, phase="Succeeded", finished=self.time)
        return pod

    def path(self, stage: str, attempt: int) -> str:
        if self.path_of is not None:
            return self.path_of(stage, attempt)
        (run,) = self.runs.values()
        return result_path(run.meta.uid, stage, attempt)

    def result(self, stage: str, attempt: int) -> Result:
        count, batch = 2000, 32
        steps = [self.step_seconds * (1 + 0.01 * ((i * 7919) % 100) / 100) for i in range(count)]
        rate = batch / self.step_seconds
        end = self.time.timestamp()
        return Result(
            run=KEY.name, stage=stage, attempt=attempt, outcome="Completed", started=end - 10, finished=end,
            series={
                "step_seconds": Series("s", steps, [0, 1000]),
                "ttft_seconds": Series("s", [0.1, 0.1]),
                "tpot_seconds": Series("s", [self.step_seconds] * 2),
                "e2e_seconds": Series("s", [5.0, 5.0]),
                "round_tokens_per_second": Series("tokens/s", [rate, rate * 1.01]),
            },
            scalars={
                "throughput": Scalar("tokens/s", rate),
                "gpu_memory_peak": Scalar("B", 2.0e9),
            },
            facts={"device": "test", "device_kind": "cuda", "dtype": "float16", "parameters": 100_000_000},
        )  # fmt: skip


def target_spec(**changes) -> TargetSpec:
    spec = TargetSpec(llm=LLM(), prometheus=Prometheus(url="http://prometheus"), pods=Pods(attempts=3))
    return spec.replace(**changes)


def sim_with_run(feature: str, target: TargetSpec | None = None, **spec) -> Sim:
    sim = Sim()
    sim.targets["llm"] = Target(Meta("llm", "team", "t"), target or target_spec(), TargetStatus())
    run_spec = RunSpec(feature=feature, target_ref="llm", **spec)
    sim.runs[KEY.name] = Run(Meta(KEY.name, "team", "uid-1", created=NOW), run_spec, RunStatus())
    return sim


def sim_with_feature(text: str, target: TargetSpec | None = None, **spec) -> Sim:
    sim = Sim()
    sim.targets["llm"] = Target(Meta("llm", "team", "t"), target or target_spec(), TargetStatus())
    feature_spec = FeatureSpec(feature=text, target_ref="llm", **spec)
    sim.features["llm"] = Feature(Meta("llm", "team", "f", created=NOW), feature_spec, FeatureStatus())
    return sim


async def settle(sim: Sim, key: Key = KEY, turns: int = 400, seconds: float = 1.0) -> RunStatus:
    """Drive and let time pass until the run is finished; a killed operator is started again at once."""
    for _ in range(turns):
        try:
            await drive(key, sim.world)
        except Killed:
            continue
        if sim.runs[key.name].status.phase.finished:
            break
        sim.tick(seconds)
    return sim.runs[key.name].status
