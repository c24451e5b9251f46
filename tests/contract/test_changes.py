"""Every change that a run makes, on a real API server: done twice it is done once, and it is taken back whole."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import attrs
import pytest
from surroundings import (
    DEPLOYMENTS,
    FAULT,
    LOAD,
    NOW,
    SCALE,
    endpoint,
    fault,
    node,
    owner,
    path,
    pod,
    service,
    target,
)
from workbench import PODS, Bench

from perfrun.adapters.api import NotFound
from perfrun.adapters.paths import jobs_path, node_path, object_path, or_none, pods_path
from perfrun.api.faults import FINALIZER
from perfrun.api.plan import Stage
from perfrun.api.service import Workload
from perfrun.lifecycle.trouble import trouble
from perfrun.lifecycle.values import (
    Cordon,
    Hold,
    KillPods,
    Missing,
    Release,
    Run,
    Scale,
    StartAgent,
    StartLoad,
    StopAgent,
    StopLoad,
    Uncordon,
    WorkloadView,
)
from perfrun.manifests import labels
from perfrun.manifests.names import agent_name, pod_name
from perfrun.ports import Conflict, Unavailable
from perfrun_kernels.contract import FAULT_ENV, RESULT_URL_ENV, FaultOrder, FaultReport

pytestmark = pytest.mark.contract

BUDGETS = ("/apis/policy/v1", "poddisruptionbudgets")


def start_load(run: Run, attempt: int = 1, **changes: Any) -> StartLoad:
    return StartLoad(pod_name(run.meta.name, LOAD.id, attempt), LOAD, attempt, NOW, **changes)


async def test_a_run_is_held_and_released_once_each(bench: Bench) -> None:
    run = await bench.run()
    await bench.cluster.change(run, Hold())
    held = await bench.again(run)
    assert held.meta.finalizers == (FINALIZER,)
    assert held.meta.labels[labels.HOLDS] == "true"
    assert held.status == run.status
    await bench.cluster.change(held, Hold())
    assert await bench.again(run) == held
    await bench.cluster.change(held, Release())
    released = await bench.again(run)
    assert released.meta.finalizers == ()
    assert labels.HOLDS not in released.meta.labels
    await bench.cluster.change(released, Release())
    assert await bench.again(run) == released


async def test_whoever_decided_from_an_older_run_neither_holds_nor_releases_it(bench: Bench) -> None:
    run = await bench.run()
    newer = await bench.cluster.save_run(run, run.status.replace(message="newer"))
    with pytest.raises(Conflict):
        await bench.cluster.change(run, Hold())
    await bench.cluster.change(newer, Hold())
    held = await bench.again(run)
    await bench.cluster.save_run(held, held.status.replace(message="newer still"))
    with pytest.raises(Conflict):
        await bench.cluster.change(held, Release())
    assert (await bench.again(run)).meta.finalizers == (FINALIZER,)


async def test_a_finalizer_of_somebody_else_stays(bench: Bench) -> None:
    run = await bench.run()
    name = object_path("PerfRun", bench.namespace, "run")
    await bench.api.merge(name, {"metadata": {"finalizers": ["example.com/theirs"]}})
    await bench.cluster.change(await bench.again(run), Hold())
    await bench.cluster.change(await bench.again(run), Release())
    assert (await bench.again(run)).meta.finalizers == ("example.com/theirs",)
    await bench.api.merge(name, {"metadata": {"finalizers": None}})


async def test_a_deleted_run_stays_until_it_is_released(bench: Bench) -> None:
    run = await bench.run()
    await bench.cluster.change(run, Hold())
    await bench.cluster.delete_run(bench.namespace, "run")
    deleting = await bench.again(run)
    assert deleting.meta.deleting
    saved = await bench.cluster.save_run(deleting, deleting.status.replace(message="being restored"))
    await bench.cluster.change(saved, Release())
    with pytest.raises(NotFound):
        await bench.api.get(object_path("PerfRun", bench.namespace, "run"))
    with pytest.raises(Conflict):
        await bench.cluster.change(attrs.evolve(saved, meta=attrs.evolve(saved.meta, finalizers=())), Hold())


async def test_a_run_that_is_being_deleted_cannot_be_held_any_more(bench: Bench) -> None:
    run = await bench.run()
    name = object_path("PerfRun", bench.namespace, "run")
    await bench.api.merge(name, {"metadata": {"finalizers": ["example.com/theirs"]}})
    await bench.cluster.delete_run(bench.namespace, "run")
    with pytest.raises(Unavailable, match="refused"):
        await bench.cluster.change(await bench.again(run), Hold())
    await bench.api.merge(name, {"metadata": {"finalizers": None}})


async def pods_seen(bench: Bench, run: Run, count: int) -> list[Any]:
    """Wait until the Job controller has made so many pods, and return what is seen of them."""
    while len(found := await bench.cluster.pods_of(run)) < count:  # noqa: ASYNC110 -- no watch runs here
        await asyncio.sleep(0.05)
    return sorted(found.values(), key=lambda each: each.index)


async def test_a_load_is_one_job_whose_pods_know_their_shard(bench: Bench) -> None:
    run = await bench.run(target=target(), stages=(LOAD,))
    action = start_load(run, avoid=("node-a", "node-b"), rather_not=("node-c",))
    for _ in range(2):
        await bench.cluster.change(run, action)
    assert await bench.cluster.jobs_of(run) == {action.name}
    pods = await pods_seen(bench, run, 2)
    assert [(each.stage, each.attempt, each.index) for each in pods] == [("s1-load", 1, 0), ("s1-load", 1, 1)]
    stored = await bench.api.get(pods_path(bench.namespace, pods[0].name))
    affinity = stored["spec"]["affinity"]["nodeAffinity"]
    [term] = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [each["values"] for each in term["matchFields"]] == [["node-a"], ["node-b"]]


async def test_a_stopped_load_goes_with_its_pods(bench: Bench) -> None:
    run = await bench.run(target=target(), stages=(LOAD,))
    await bench.cluster.change(run, start_load(run))
    await pods_seen(bench, run, 2)
    for _ in range(2):
        await bench.cluster.change(run, StopLoad(start_load(run).name))
    assert await bench.cluster.jobs_of(run) == frozenset()
    while await bench.cluster.pods_of(run):  # noqa: ASYNC110 -- no watch runs here
        await asyncio.sleep(0.05)


async def test_a_job_of_somebody_else_is_neither_ours_nor_removed(bench: Bench) -> None:
    run = await bench.run(target=target(), stages=(LOAD,))
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "perfrun.dev/none:1"}]}}
    body = {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": start_load(run).name},
        "spec": {"suspend": True, "template": template},
    }  # fmt: skip
    await bench.make(jobs_path(bench.namespace), body)
    with pytest.raises(Unavailable, match="belongs to something else"):
        await bench.cluster.change(run, start_load(run))
    await bench.cluster.change(run, StopLoad(start_load(run).name))
    assert await bench.api.get(jobs_path(bench.namespace, start_load(run).name))
    assert await bench.cluster.jobs_of(run) == frozenset()


async def test_a_load_that_is_refused_is_seen_with_the_servers_words_until_it_is_stopped(bench: Bench) -> None:
    spec = target().replace(
        pods=target().pods.replace(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}})
    )  # fmt: skip
    run = await bench.run(target=spec, stages=(LOAD,))
    with pytest.raises(Unavailable, match="was refused"):
        await bench.cluster.change(run, start_load(run))
    [view] = (await bench.cluster.pods_of(run)).values()
    assert (view.stage, view.attempt, view.index) == ("s1-load", 1, 0)
    found = trouble(view, LOAD, view.created, view.created)
    assert found is not None
    assert "must be less than or equal to cpu limit" in found.message
    await bench.cluster.change(run, StopLoad(start_load(run).name))
    assert await bench.cluster.pods_of(run) == {}


def start_agent(run: Run, on: str, kind: Any = "isolate") -> StartAgent:
    name = agent_name(run.meta.uid, FAULT.id, on, kind, 1)
    return StartAgent(name, FAULT.id, on, kind, NOW, NOW + dt.timedelta(seconds=20))


SPIKE = Stage(
    id="s1-spike", scenario=0, kind="fault", alongside="s1-load",
    parameters={"kind": "spike", "spike": {"probe": {"port": 80, "path": "/"}, "inject": ["quota"], "pods": []}},
)  # fmt: skip


async def test_an_agent_that_measures_is_told_the_ready_pods_of_its_node(bench: Bench) -> None:
    here, there = await node(bench, "a"), await node(bench, "b")
    for name, on in (("web-0", here), ("web-1", there), ("web-2", here), ("other", here)):
        await pod(bench, name, on)
    running = {"name": "web", "image": "x", "imageID": "", "ready": True, "restartCount": 0}
    statuses = [running | {"containerID": "containerd://abc", "state": {"running": {}}}]
    status = {"status": {"podIP": "192.0.2.9", "podIPs": [{"ip": "192.0.2.9"}], "containerStatuses": statuses}}
    await bench.api.merge(f"{pods_path(bench.namespace, 'web-0')}/status", status)
    await service(
        bench, endpoint(1, here, "web-0"), endpoint(2, there, "web-1"), endpoint(3, here, "web-2", ready=False)
    )
    run = await bench.run(target=target(), stages=(LOAD, SPIKE))
    name = agent_name(run.meta.uid, SPIKE.id, here, "spike", 2)
    action = StartAgent(name, SPIKE.id, here, "spike", NOW, NOW + dt.timedelta(seconds=20), attempt=2)
    await bench.cluster.change(run, action)
    made = await bench.api.get(pods_path(bench.namespace, name))
    [container] = made["spec"]["containers"]
    told = {each["name"]: each["value"] for each in container["env"]}
    assert told[RESULT_URL_ENV] == f"{PODS.results_url}/results/{bench.namespace}/run/s1-spike/2"
    order = FaultOrder.from_json(told[FAULT_ENV])
    assert order.spike == {
        "probe": {"port": 80, "path": "/"}, "inject": ["quota"], "stage": "s1-spike", "attempt": 2,
        "pods": [
            {
                "namespace": bench.namespace, "name": "web-0", "ip": "192.0.2.9", "host_network": False,
                "uid": (await bench.api.get(pods_path(bench.namespace, "web-0")))["metadata"]["uid"],
                "containers": [{"name": "web", "id": "abc"}],
            }
        ],
    }  # fmt: skip


async def ended(bench: Bench, name: str, message: str, phase: str = "Succeeded") -> None:
    """Let an agent have ended with a message, as the kubelet would tell it."""
    state = {"terminated": {"exitCode": 0, "message": message, "startedAt": NOW.isoformat(), "finishedAt": None}}
    container = {"name": "agent", "image": "x", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    status = {"status": {"phase": phase, "containerStatuses": [container]}}
    await bench.api.merge(f"{pods_path(bench.namespace, name)}/status", status)


async def test_an_agent_is_started_once_and_its_report_is_read(bench: Bench) -> None:
    machine = await node(bench, "a")
    run = await bench.run(target=target(), stages=(LOAD, FAULT), faults=(fault("isolate", "native", machine),))
    action = start_agent(run, machine)
    for _ in range(2):
        await bench.cluster.change(run, action)
    [view] = (await bench.cluster.agents_of(run)).values()
    assert (view.pod.name, view.fault, view.node, view.undo) == (action.name, FAULT.id, machine, False)
    assert view.report is None
    report = FaultReport("f", machine, "isolate", "Undone", injected_at=1.0, undone_at=2.0, proof="nothing is left")
    await ended(bench, action.name, report.to_json())
    [view] = (await bench.cluster.agents_of(run)).values()
    assert view.report == report


async def test_an_agent_that_says_nonsense_has_no_report_but_its_words(bench: Bench) -> None:
    machine = await node(bench, "a")
    run = await bench.run(target=target(), faults=(fault("isolate", "native", machine),))
    action = start_agent(run, machine, "undo")
    await bench.cluster.change(run, action)
    await ended(bench, action.name, "Traceback: oops", "Failed")
    [view] = (await bench.cluster.agents_of(run)).values()
    assert (view.undo, view.report, view.pod.message) == (True, None, "Traceback: oops")


async def test_agents_of_other_runs_are_not_ours(bench: Bench) -> None:
    machine = await node(bench, "a")
    first, second = await bench.run("first", target=target()), await bench.run("second", target=target())
    await bench.cluster.change(first, start_agent(first, machine))
    assert await bench.cluster.agents_of(second) == {}


async def test_a_stopped_agent_is_stopped_once(bench: Bench) -> None:
    machine = await node(bench, "a")
    run = await bench.run(target=target())
    action = start_agent(run, machine)
    await bench.cluster.change(run, action)
    for _ in range(2):
        await bench.cluster.change(run, StopAgent(action.name))
    assert all(each.pod.deleting for each in (await bench.cluster.agents_of(run)).values())


async def test_an_agent_that_is_refused_is_seen_with_the_servers_words_until_it_is_stopped(bench: Bench) -> None:
    enforced = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    await bench.api.merge(f"/api/v1/namespaces/{bench.namespace}", enforced)
    run = await bench.run(target=target())
    action = start_agent(run, "anywhere")
    with pytest.raises(Unavailable, match="was refused"):
        await bench.cluster.change(run, action)
    [view] = (await bench.cluster.agents_of(run)).values()
    assert (view.node, view.fault, view.pod.waiting) == ("anywhere", FAULT.id, "Refused")
    assert "violates PodSecurity" in view.pod.message
    await bench.cluster.change(run, StopAgent(action.name))
    assert await bench.cluster.agents_of(run) == {}


async def test_a_node_is_cordoned_and_given_back(bench: Bench) -> None:
    machine = await node(bench, "a")
    run = await bench.run(target=target())
    for _ in range(2):
        await bench.cluster.change(run, Cordon(machine))
    view = (await bench.cluster.nodes())[machine]
    assert (view.cordoned, view.cordoned_by) == (True, run.meta.uid)
    other = await bench.run("other", target=target())
    await bench.cluster.change(other, Uncordon(machine))
    assert (await bench.cluster.nodes())[machine].cordoned
    for _ in range(2):
        await bench.cluster.change(run, Uncordon(machine))
    view = (await bench.cluster.nodes())[machine]
    assert (view.cordoned, view.cordoned_by) == (False, "")


async def test_a_node_that_somebody_else_cordoned_stays_theirs(bench: Bench) -> None:
    machine = await node(bench, "a")
    await bench.api.merge(node_path(machine), {"spec": {"unschedulable": True}})
    run = await bench.run(target=target())
    await bench.cluster.change(run, Cordon(machine))
    assert (await bench.cluster.nodes())[machine].cordoned_by == ""
    await bench.cluster.change(run, Uncordon(machine))
    assert (await bench.cluster.nodes())[machine].cordoned


async def test_a_node_that_is_not_there_needs_nothing(bench: Bench) -> None:
    run = await bench.run(target=target())
    await bench.cluster.change(run, Cordon("none"))
    await bench.cluster.change(run, Uncordon("none"))


async def test_a_drained_node_keeps_what_would_not_come_back(bench: Bench) -> None:
    machine, elsewhere = await node(bench, "a"), await node(bench, "b")
    by = await owner(bench)
    await pod(bench, "web-1", machine, ownerReferences=[by])
    await pod(bench, "far", elsewhere, ownerReferences=[by])
    await pod(bench, "alone", machine)
    await pod(bench, "static", machine, annotations={"kubernetes.io/config.mirror": "x"}, ownerReferences=[by])
    run = await bench.run(target=target())
    await bench.cluster.change(run, Cordon(machine))
    left = {each["metadata"]["name"] async for each in bench.api.pages(pods_path(bench.namespace))}
    assert left == {"far", "alone", "static"}


async def test_a_pod_that_its_budget_keeps_is_evicted_as_soon_as_the_budget_lets_it_go(bench: Bench) -> None:
    machine = await node(bench, "a")
    await pod(bench, "web-1", machine, ownerReferences=[await owner(bench)], labels={"app": "web"})
    body = {
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    }  # fmt: skip
    await bench.make(path(bench, BUDGETS), body)
    run = await bench.run(target=target())
    await bench.cluster.change(run, Cordon(machine))
    assert (await bench.cluster.nodes())[machine].cordoned
    assert await bench.api.get(pods_path(bench.namespace, "web-1"))
    await bench.api.delete(path(bench, BUDGETS, "web"))
    await bench.cluster.change(run, Cordon(machine))
    assert await or_none(bench.api.get(pods_path(bench.namespace, "web-1"))) is None


async def test_pods_are_killed_but_not_those_that_came_after(bench: Bench) -> None:
    machine = await node(bench, "a")
    old = [await pod(bench, name, machine) for name in ("web-0", "web-1")]
    run = await bench.run(target=target(), faults=(fault("pod-kill", "native", machine),))
    created = dt.datetime.fromisoformat(old[-1]["metadata"]["creationTimestamp"])
    before = created + dt.timedelta(seconds=1)
    names = ("web-0", "web-1", "none")
    await bench.cluster.change(run, KillPods(names, before))
    assert await or_none(bench.api.get(pods_path(bench.namespace, "web-0"))) is None
    await asyncio.sleep(1.1)
    again = await pod(bench, "web-0", machine)
    await bench.cluster.change(run, KillPods(names, before))
    assert (await bench.api.get(pods_path(bench.namespace, "web-0")))["metadata"]["uid"] == again["metadata"]["uid"]


async def deployment(bench: Bench, replicas: int) -> None:
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "perfrun.dev/none:1"}]},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    await bench.make(path(bench, DEPLOYMENTS), body)


async def test_a_workload_is_scaled_and_scaled_back(bench: Bench) -> None:
    await deployment(bench, 1)
    run = await bench.run(target=target(workload={"name": "web"}), stages=(SCALE,))
    there = Workload(name="web")
    assert await bench.cluster.workload(bench.namespace, there) == WorkloadView(replicas=1, ready=0)
    for wanted in (3, 3, 1):
        await bench.cluster.change(run, Scale(wanted))
        assert await bench.cluster.workload(bench.namespace, there) == WorkloadView(replicas=wanted, ready=0)
    await bench.api.delete(path(bench, DEPLOYMENTS, "web"))
    await bench.cluster.change(run, Scale(2))
    gone = await bench.cluster.workload(bench.namespace, there)
    assert isinstance(gone, Missing)
    assert gone.reason == "WorkloadNotFound"
