"""Reads and writes of a real API server: nothing is overwritten unseen, and nothing is created twice."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest
import surroundings
from kubernetes.aio.client.configuration import Configuration
from workbench import STAGE, Bench, start_of

from perfrun.adapters.api import AlreadyExists, Api, NotFound, load_configuration
from perfrun.adapters.paths import node_path, object_path, pods_path
from perfrun.adapters.reading import MalformedError
from perfrun.api.feature import ConfigMapKeyRef, FeatureStatus
from perfrun.api.run import Phase, RunSpec, RunStatus
from perfrun.api.target import TargetSpec
from perfrun.controller.app import kinds_served
from perfrun.controller.sweep import Sweeper
from perfrun.lifecycle.trouble import trouble
from perfrun.lifecycle.values import CreateRun, Emit, Key
from perfrun.manifests import labels
from perfrun.ports import Conflict, Unavailable, result_path
from perfrun_kernels.contract import REQUEST_ENV, Request

pytestmark = pytest.mark.contract


async def test_a_status_that_was_written_is_read_back_whole(bench: Bench) -> None:
    run = await bench.run()
    assert await bench.again(run) == run


async def test_a_status_is_replaced_not_merged(bench: Bench) -> None:
    run = await bench.run()
    bare = RunStatus(observed_generation=1, phase=Phase.PENDING)
    await bench.cluster.save_run(run, bare)
    assert (await bench.again(run)).status == bare


async def test_whoever_was_overtaken_writes_nothing(bench: Bench) -> None:
    run = await bench.run()
    newer = await bench.cluster.save_run(run, run.status.replace(message="newer"))
    with pytest.raises(Conflict):
        await bench.cluster.save_run(run, run.status.replace(message="older"))
    assert (await bench.again(run)).status == newer.status


async def test_a_status_of_what_went_is_a_conflict(bench: Bench) -> None:
    feature = await bench.feature()
    await bench.api.delete(object_path("PerfFeature", bench.namespace, "feature"))
    with pytest.raises(Conflict):
        await bench.cluster.save_feature(feature, FeatureStatus(message="late"))


async def test_a_status_that_came_from_another_object_of_the_name_is_a_conflict(bench: Bench) -> None:
    feature = await bench.feature()
    await bench.api.delete(object_path("PerfFeature", bench.namespace, "feature"))
    again = await bench.feature()
    with pytest.raises(Conflict):
        await bench.cluster.save_feature(feature, FeatureStatus(message="of the first"))
    assert again.meta.uid != feature.meta.uid


async def test_writing_a_status_leaves_what_others_wrote(bench: Bench) -> None:
    feature = await bench.feature(annotations={"team": "checkout"})
    path = object_path("PerfFeature", bench.namespace, "feature")
    await bench.cluster.save_feature(feature, FeatureStatus(message="judged"))
    stored = await bench.api.get(path)
    assert stored["metadata"]["annotations"] == {"team": "checkout"}
    assert stored["metadata"].get("finalizers") is None


async def test_a_pod_is_created_once(bench: Bench) -> None:
    run = await bench.run()
    await bench.cluster.start_pod(run, start_of(run))
    [first] = (await bench.cluster.pods_of(run)).values()
    await bench.cluster.start_pod(run, start_of(run))
    [second] = (await bench.cluster.pods_of(run)).values()
    assert first.uid == second.uid
    assert first.name == start_of(run).name


async def test_a_pod_that_is_not_there_is_stopped_without_a_word(bench: Bench) -> None:
    run = await bench.run()
    await bench.cluster.stop_pod(run, "none")
    await bench.cluster.start_pod(run, start_of(run))
    await bench.cluster.stop_pod(run, start_of(run).name)
    await bench.cluster.stop_pod(run, start_of(run).name)
    assert all(pod.deleting for pod in (await bench.cluster.pods_of(run)).values())


async def test_a_pod_of_somebody_else_is_never_taken_for_ours(bench: Bench) -> None:
    run = await bench.run()
    other = attrs.evolve(run, meta=attrs.evolve(run.meta, uid="00000000-0000-0000-0000-000000000000"))
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": start_of(run).name},
        "spec": {"containers": [{"name": "c", "image": "perfrun.dev/none:1"}]},
    }
    await bench.api.create(pods_path(bench.namespace), body)
    with pytest.raises(Unavailable, match="belongs to something else"):
        await bench.cluster.start_pod(run, start_of(run))
    assert await bench.cluster.pods_of(other) == {}


async def test_a_pod_that_is_refused_is_seen_with_the_servers_words(bench: Bench) -> None:
    target = TargetSpec.from_wire({"pods": {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}})
    run = await bench.run(target=target)
    with pytest.raises(Unavailable, match="was refused"):
        await bench.cluster.start_pod(run, start_of(run))
    view = (await bench.cluster.pods_of(run))[start_of(run).name]
    found = trouble(view, STAGE, view.created, view.created)
    assert found is not None
    assert found.reason == "PodRefused"
    assert "must be less than or equal to cpu limit" in found.message


async def test_a_pod_on_its_nodes_network_is_lost_with_the_servers_words_where_policy_forbids_it(bench: Bench) -> None:
    labels_ = {"pod-security.kubernetes.io/enforce": "baseline"}
    await bench.api.merge(f"/api/v1/namespaces/{bench.namespace}", {"metadata": {"labels": labels_}})
    stage = STAGE.replace(host_network=True)
    run = await bench.run()
    start = attrs.evolve(start_of(run), stage=stage)
    with pytest.raises(Unavailable, match="was refused"):
        await bench.cluster.start_pod(run, start)
    view = (await bench.cluster.pods_of(run))[start.name]
    found = trouble(view, stage, view.created, view.created)
    assert found is not None
    assert (found.reason, found.again) == ("PodRefused", False)
    assert "hostNetwork=true" in found.message
    await bench.cluster.stop_pod(run, start.name)
    assert await bench.cluster.pods_of(run) == {}


async def test_a_pod_is_tied_to_a_node_in_words_that_the_server_takes(bench: Bench) -> None:
    run = await bench.run()
    for attempt, place in enumerate(({"on": "node-1"}, {"avoid": ("node-1", "node-2")}), 1):
        start = attrs.evolve(start_of(run, attempt), **place)
        await bench.cluster.start_pod(run, start)
        stored = await bench.api.get(pods_path(bench.namespace, start.name))
        affinity = stored["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        [term] = affinity["nodeSelectorTerms"]
        assert {name for each in term["matchFields"] for name in each["values"]} == {
            name for names in place.values() for name in ([names] if isinstance(names, str) else names)
        }  # fmt: skip


async def test_gpus_are_asked_for_in_words_that_the_server_takes(bench: Bench) -> None:
    stage = STAGE.replace(gpus=1)
    one = {"name": "gpu", "exactly": {"deviceClassName": "gpu.nvidia.com"}}
    template = {
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "metadata": {"name": "one"},
        "spec": {"spec": {"devices": {"requests": [one]}}},
    }  # fmt: skip
    templates = f"/apis/resource.k8s.io/v1/namespaces/{bench.namespace}/resourceclaimtemplates"
    await bench.make(templates, template)
    asked = ({"resourceClaimTemplate": "one"}, {"gpuResource": "nvidia.com/mig-1g.10gb"})
    stored = []
    for number, pods in enumerate(asked):
        run = await bench.run(f"run-{number}", TargetSpec.from_wire({"pods": {"gpus": 1} | pods}))
        start = attrs.evolve(start_of(run), stage=stage)
        await bench.cluster.start_pod(run, start)
        pod = await bench.api.get(pods_path(bench.namespace, start.name))
        stored.append((pod["spec"].get("resourceClaims"), pod["spec"]["containers"][0]["resources"]))
    slice_of_one = {"nvidia.com/mig-1g.10gb": "1"}
    assert stored == [
        ([{"name": "gpu", "resourceClaimTemplateName": "one"}], {"claims": [{"name": "gpu"}]}),
        (None, {"limits": slice_of_one, "requests": slice_of_one}),
    ]


async def test_a_run_is_created_once_and_carries_nothing_of_its_feature(bench: Bench) -> None:
    feature = await bench.feature(annotations={"kubectl.kubernetes.io/last-applied-configuration": "{}"})
    action = CreateRun("feature-1", RunSpec(feature="Feature: x", feature_ref="feature", target_ref="t"), "Changed")
    await bench.cluster.create_run(feature, action)
    await bench.cluster.create_run(feature, action)
    [run] = await bench.cluster.runs_of(feature)
    assert run.spec == action.spec
    assert run.meta.annotations == {labels.CAUSE: "Changed"}


async def test_runs_of_an_earlier_feature_of_the_name_are_not_ours(bench: Bench) -> None:
    feature = await bench.feature()
    await bench.cluster.create_run(feature, CreateRun("r", RunSpec(feature="Feature: x", target_ref="t"), "Changed"))
    earlier = attrs.evolve(feature, meta=attrs.evolve(feature.meta, uid="00000000-0000-0000-0000-000000000000"))
    assert await bench.cluster.runs_of(earlier) == ()


async def test_cancelling_and_deleting_what_is_not_there_is_done_already(bench: Bench) -> None:
    await bench.cluster.cancel_run(bench.namespace, "none")
    await bench.cluster.delete_run(bench.namespace, "none")
    run = await bench.run()
    await bench.cluster.cancel_run(bench.namespace, "run")
    assert (await bench.again(run)).spec.cancel
    await bench.cluster.delete_run(bench.namespace, "run")
    assert await bench.cluster.run(Key("PerfRun", bench.namespace, "run")) is None


async def test_the_same_news_twice_is_one_event_with_a_count(bench: Bench) -> None:
    run = await bench.run()
    for _ in range(3):
        await bench.cluster.emit(run, Emit("Warning", "Odd", "something is odd"))
    await bench.cluster.emit(run, Emit("Normal", "Odd", "something else"))
    await bench.events.flush()
    found = await bench.api.get(f"/apis/events.k8s.io/v1/namespaces/{bench.namespace}/events")
    told = {each["note"]: each for each in found["items"] if each["regarding"].get("uid") == run.meta.uid}
    assert set(told) == {"something is odd", "something else"}
    assert told["something is odd"]["series"]["count"] == 3
    assert told["something is odd"]["reportingController"] == "perfrun.dev"


async def test_a_config_map_is_read_by_key(bench: Bench) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": "Feature: y"}}
    await bench.api.create(f"/api/v1/namespaces/{bench.namespace}/configmaps", body)
    read = bench.cluster.config_map_key
    assert await read(bench.namespace, ConfigMapKeyRef(name="c", key="k")) == "Feature: y"
    assert await read(bench.namespace, ConfigMapKeyRef(name="c", key="other")) is None
    assert await read(bench.namespace, ConfigMapKeyRef(name="other", key="k")) is None


async def test_every_run_is_listed_by_uid_page_by_page(bench: Bench) -> None:
    runs = [await bench.run(f"run-{number}") for number in range(3)]
    assert await bench.cluster.run_uids((bench.namespace,)) == {run.meta.uid for run in runs}


async def test_an_object_that_cannot_be_understood_says_so_itself_and_once(bench: Bench) -> None:
    await bench.feature()
    path = object_path("PerfFeature", bench.namespace, "feature")
    sentence = "PerfFeature ns/feature: spec.colour: Extra inputs are not permitted, found 'red'"

    async def declare() -> dict[str, Any]:
        stored = await bench.api.get(path)
        error = MalformedError(Key("PerfFeature", bench.namespace, "feature"), stored, sentence)
        await bench.cluster.declare_malformed(error)
        return await bench.api.get(path)

    first = await declare()
    assert first["status"]["message"] == sentence
    assert {each["type"]: each["status"] for each in first["status"]["conditions"]} == {
        "Ready": "False",
        "Stalled": "True",
    }
    assert (await declare())["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def left(bench: Bench, count: int) -> None:
    """Wait until the evidence of no more than so many runs is left."""
    while len(await bench.artifacts.children("runs")) > count:  # noqa: ASYNC110 -- files tell nobody when they go
        await asyncio.sleep(0.02)


async def test_evidence_goes_with_its_run(bench: Bench) -> None:
    kept, gone, deleted = [await bench.run(name) for name in ("kept", "gone", "deleted")]
    for run in (kept, gone, deleted):
        await bench.artifacts.put(result_path(run.meta.uid, STAGE.id, 1), b"{}")
    await bench.cluster.delete_run(bench.namespace, "gone")
    sweeper = Sweeper(bench.artifacts, bench.cluster, (bench.namespace,))
    sweeping = asyncio.create_task(sweeper.run())
    await left(bench, 2)
    await bench.cluster.delete_run(bench.namespace, "deleted")
    sweeper.orphaned(deleted.meta.uid)
    await left(bench, 1)
    sweeping.cancel()
    assert await bench.artifacts.children("runs") == (kept.meta.uid,)


async def test_answers_of_the_server_are_told_apart(bench: Bench) -> None:
    await bench.feature()
    with pytest.raises(AlreadyExists):
        await bench.feature()
    with pytest.raises(NotFound):
        await bench.api.get(object_path("PerfFeature", bench.namespace, "none"))


async def test_our_kinds_are_waited_for_until_they_are_served(bench: Bench) -> None:
    await kinds_served(bench.api)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    configuration = Configuration()
    configuration.host = "https://127.0.0.1:1"
    lost = Api(configuration, load_configuration)
    with pytest.raises(Unavailable, match="did not answer GET /version"):
        await lost.get("/version")
    with pytest.raises(Unavailable, match="did not answer GET /apis/perfrun"):
        await kinds_served(lost, patience=0.1, every=0.01)
    await lost.close()


async def test_a_pod_that_asks_the_monitoring_system_is_told_what_should_be_there(bench: Bench) -> None:
    name = await surroundings.node(bench, "recorded")
    gpus = {"status": {"capacity": {"nvidia.com/gpu": "2"}, "allocatable": {"nvidia.com/gpu": "2"}}}
    await bench.api.merge(f"{node_path(name)}/status", gpus)
    stage = STAGE.replace(program="telemetry", parameters={"rows": [{"per": "gpuNode"}, {"per": "pod"}]})
    target = TargetSpec.from_wire({"service": {"name": "web"}})
    await surroundings.service(bench, selector={"app": "web"})
    await surroundings.pod(bench, "web-0", on=name, labels={"app": "web"})
    await surroundings.pod(bench, "other", on=name)
    run = await bench.run(target=target, stages=(stage,))
    start = attrs.evolve(start_of(run), stage=stage)
    await bench.cluster.start_pod(run, start)
    stored = await bench.api.get(pods_path(bench.namespace, start.name))
    [environment] = [each["env"] for each in stored["spec"]["containers"]]
    [request] = [each["value"] for each in environment if each["name"] == REQUEST_ENV]
    expected = Request.from_json(request).parameters["expected"]
    [node] = [each for each in expected["nodes"] if each["name"] == name]
    assert (node["gpus"], node["addresses"]) == (2, ["192.0.2.7"])
    assert node["since"] > 0
    assert [(each["name"], each["node"]) for each in expected["pods"]] == [("web-0", name)]
