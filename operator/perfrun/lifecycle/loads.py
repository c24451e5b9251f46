"""How a load stage goes on: from who serves, over generators that begin together, to what each of them handed in.

The moment at which all generators begin is written before their Job is created. One that is not ready by then says
so, and the whole attempt is made again with a longer lead: half a load would be another load. An attempt that is
given up goes back to Waiting, so that every attempt begins from a fresh look at the world.

A load may find a rate for those after it. Their schedules state shares of it, and what it came to is written before
their generators are started.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from perfrun.api.faults import ServingNode
from perfrun.api.plan import Stage
from perfrun.api.run import StageStatus
from perfrun.capabilities.peak import found
from perfrun.lifecycle.progress import Progress, Scene, final, lost
from perfrun.lifecycle.trouble import Trouble, trouble
from perfrun.lifecycle.values import HandedIn, Missing, NodeView, PodView, StartLoad, StopLoad, StopPod
from perfrun.manifests.names import pod_name
from perfrun_kernels.contract import Result

ENDPOINT_PATIENCE = dt.timedelta(seconds=15)
"""How long a load waits for a Service that has no ready endpoint."""

LEFT_PATIENCE = dt.timedelta(seconds=30)
"""How long a load waits for pods that are left of before; on a dead node they never go."""

RECHECK = dt.timedelta(seconds=1)
"""How soon it is looked again after something that no event announces."""

_POD_PATIENCE = dt.timedelta(seconds=3)
"""How long after the common start a generator's pod may still not be seen; there is none then."""


def advance_load(stage: Stage, scene: Scene, avoid: tuple[str, ...] = ()) -> Progress:
    """Return how a load stage goes on; its generators never run on the nodes ``avoid``."""
    was = scene.stage(stage.id)
    if final(was):
        return Progress(was)
    if was.state == "Waiting":
        ready = begin(stage, scene)
        if ready.status.state != "Starting":
            return ready
        return Progress(ready.status, (start(stage, ready.status, avoid),), ready.look_at)
    return _under_way(stage, was, scene, avoid)


def begin(stage: Stage, scene: Scene) -> Progress:
    """Return the intent of the next attempt (Starting), or what it waits for; nothing is started by it."""
    was, now = scene.stage(stage.id), scene.now
    since = was.since or now
    if scene.seen.jobs:
        # What is left of an earlier attempt or scenario would add to this load.
        stops = tuple(StopLoad(name) for name in sorted(scene.seen.jobs))
        return Progress(was.replace(since=since, message="generators of before are ending"), stops, now + RECHECK)
    if (left := _left(scene)) and now < since + LEFT_PATIENCE:
        ends = tuple(StopPod(pod.name) for pod in left if not pod.deleting)
        return Progress(was.replace(since=since, message="pods of before are ending"), ends, now + RECHECK)
    serving = scene.seen.serving
    if isinstance(serving, Missing) or not serving:
        name = scene.target.service.name if scene.target.service is not None else ""
        told = serving.message if isinstance(serving, Missing) else f"Service {name} has no ready endpoint"
        if now < since + ENDPOINT_PATIENCE:
            return Progress(was.replace(since=since, message=told), look_at=now + RECHECK)
        text = f"{told}; start what it serves, or correct spec.service of the PerfTarget"
        return Progress(lost(was, Trouble("NoEndpoints", text), now))
    attempt = was.attempt + 1
    start_at = now + dt.timedelta(seconds=float(stage.parameters["lead_seconds"]) * attempt)
    starting = was.replace(
        state="Starting", attempt=attempt, pod=pod_name(scene.run.meta.name, stage.id, attempt), since=now,
        start_at=start_at, serving=_serving(serving, scene.seen.nodes), reason="", message="",
        rate=scene.stage(stage.rate_of).rate if stage.rate_of else None,
    )  # fmt: skip
    return Progress(starting, look_at=now + RECHECK)


def start(stage: Stage, status: StageStatus, avoid: tuple[str, ...]) -> StartLoad:
    """Return the action that starts the attempt which the status intends."""
    if status.start_at is None:
        msg = f"load {stage.id} is {status.state} without a start; its status was edited by hand"
        raise ValueError(msg)
    return StartLoad(
        name=status.pod, stage=_rated(stage, status), attempt=status.attempt, start_at=status.start_at, avoid=avoid,
        rather_not=tuple(each.node for each in status.serving if each.node not in avoid),
    )  # fmt: skip


def give_up(stage: Stage, was: StageStatus, wrong: Trouble, now: dt.datetime) -> Progress:
    """Return the end of an attempt: the stage waits for the next one, or is lost where there is none."""
    stop = (StopLoad(was.pod),)
    if wrong.again and was.attempt < stage.attempts:
        waiting = was.replace(state="Waiting", since=now, reason=wrong.reason, message=wrong.message)
        return Progress(waiting, stop, now)
    return Progress(lost(was, wrong, now), stop)


def _left(scene: Scene) -> list[PodView]:
    """Return the pods that went along with a load of before and still run; they hold ports, and measure."""
    stages = scene.status.frozen.plan.stages if scene.status.frozen is not None else ()
    along = {each.id for each in stages if each.kind == "pod" and each.alongside}
    pods = scene.seen.pods.values()
    return [pod for pod in pods if pod.stage in along and pod.phase not in ("Succeeded", "Failed")]


def _rated(stage: Stage, status: StageStatus) -> Stage:
    """Return the stage with requests per second in its schedule, where it states shares of a rate."""
    if not stage.rate_of:
        return stage
    if status.rate is None:
        msg = f"load {stage.id} is {status.state} without a rate; its status was edited by hand"
        raise ValueError(msg)
    schedule = [{**each, "rate": each["rate"] * status.rate} for each in stage.parameters["schedule"]]
    return stage.replace(parameters={**stage.parameters, "schedule": schedule})


def _serving(serving: Mapping[str, tuple[str, ...]], nodes: Mapping[str, NodeView]) -> tuple[ServingNode, ...]:
    return tuple(
        ServingNode(node=node, pods=pods, cpu=nodes[node].cpu if node in nodes else 0.0)
        for node, pods in sorted(serving.items())
    )


def _under_way(stage: Stage, was: StageStatus, scene: Scene, avoid: tuple[str, ...]) -> Progress:
    now, handed_in = scene.now, scene.seen.shards.get(stage.id, {})
    start_at = was.start_at or now
    if (ended := _ended(stage, was, handed_in, scene)) is not None:
        return ended
    if (wrong := _wrong(stage, was, scene)) is not None:
        return give_up(stage, was, wrong, now)
    if was.pod not in scene.seen.jobs:
        return Progress(was, (start(stage, was, avoid),), now + RECHECK)
    if now < start_at:
        return Progress(was, look_at=start_at)
    if was.state == "Starting":
        was = was.replace(state="Running", since=now)
    # Hand-ins and the pods' ends are events; these looks are for those that never come.
    due = (start_at + _POD_PATIENCE, start_at + dt.timedelta(seconds=stage.seconds))
    return Progress(was, look_at=min((each for each in due if each > now), default=now + RECHECK))


def _ended(stage: Stage, was: StageStatus, handed_in: Mapping[int, HandedIn], scene: Scene) -> Progress | None:
    """Return the end of the stage, if what was handed in is the end of it."""
    now = scene.now
    results = [each.result for _, each in sorted(handed_in.items())]
    nonsense = next((each for each in results if isinstance(each, Missing)), None)
    if nonsense is not None:
        return Progress(
            lost(was, Trouble(nonsense.reason, nonsense.message, broken=True), now), (StopLoad(was.pod),)
        )  # fmt: skip
    measured = [each for each in results if isinstance(each, Result)]
    unmeasured = [each for each in measured if each.outcome != "Completed"]
    late = next((each for each in unmeasured if each.reason == "LateStart"), None)
    if late is not None and len(unmeasured) == sum(each.reason == "LateStart" for each in unmeasured):
        return give_up(stage, was, Trouble("LateStart", late.message, again=True), now)
    if not unmeasured and len(measured) < stage.shards:
        return None
    start_at = was.start_at or now
    finished = max(each.finished for each in measured)
    digests = [each.link.digest for each in handed_in.values()]
    done = was.replace(
        state="Done", since=now, started_at=start_at, artifact=digests[0] if len(digests) == 1 else "",
        finished_at=max(start_at, dt.datetime.fromtimestamp(finished, dt.UTC)),
    )  # fmt: skip
    if _finds_a_rate(stage, scene):
        peak = found(tuple(measured), stage.parameters)
        done = done.replace(rate=peak.rate, message=peak.why)
    # Where one generator could not do its part, the others' traffic is worth nothing.
    return Progress(done, (StopLoad(was.pod),) if unmeasured else ())


def _finds_a_rate(stage: Stage, scene: Scene) -> bool:
    stages = scene.status.frozen.plan.stages if scene.status.frozen is not None else ()
    return any(each.rate_of == stage.id for each in stages)


def _wrong(stage: Stage, was: StageStatus, scene: Scene) -> Trouble | None:
    """Return why this attempt cannot go on, if so: what a pod ran into, or that there is none."""
    now, start_at = scene.now, was.start_at or scene.now
    handed_in = scene.seen.shards.get(stage.id, {})
    mine = {pod.index: pod for pod in scene.seen.pods.values() if pod.stage == stage.id and pod.attempt == was.attempt}
    for index, pod in mine.items():
        # A pod that is not there at the common start is late; its reason is the better one to tell.
        lead = max(0.0, (start_at - pod.created).total_seconds())
        found = trouble(pod, stage.replace(start_timeout=min(lead, stage.start_timeout)), pod.created, now)
        if index not in handed_in and found is not None:
            return found
    if was.pod not in scene.seen.jobs:
        if was.state == "Running":
            return Trouble("PodLost", f"job {was.pod} is gone and its generators handed in no result", again=True)
        if now >= start_at:
            return Trouble("LateStart", f"job {was.pod} was not there when its load was to begin", again=True)
        return None
    if now >= start_at + _POD_PATIENCE and len({*mine, *handed_in}) < stage.shards:
        text = f"job {was.pod} has {len(mine)} of its {stage.shards} pods after the load was to begin"
        return Trouble("PodNotStarted", text, again=True)
    return None
