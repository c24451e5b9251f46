"""Faults that Chaos Mesh and Litmus carry out, on a real API server with their kinds.

Their controllers are not there: each test says what they would write into a status, and shows what perfrun makes of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chaos_crds import definitions
from surroundings import FAULT, LOAD, endpoint, fault, node, service, target
from workbench import Bench

from perfrun.adapters.paths import in_namespace
from perfrun.lifecycle.values import Run, StartExternal, StopExternal
from perfrun.manifests.names import external_name
from perfrun.ports import Unavailable

pytestmark = pytest.mark.contract

MESH, LITMUS = "/apis/chaos-mesh.org/v1alpha1", "/apis/litmuschaos.io/v1alpha1"


@pytest.fixture(scope="module")
def tools(kubectl: Callable[..., str]) -> Iterator[None]:
    """The kinds of both tools."""
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": definitions()})
    kubectl("apply", "-f", "-", input=listed)
    names = [each["metadata"]["name"] for each in definitions()]
    # Established is not enough: the server opens their storage a moment later.
    while any("Error" in kubectl("get", each, "-A", check=False) for each in names):
        time.sleep(0.1)
    yield
    kubectl("delete", "-f", "-", "--wait=false", input=listed)


async def begun(bench: Bench, backend: Any, kind: Any, **chaos: Any) -> tuple[Run, str, str]:
    """Return a run whose fault is to be started, the path of its one object, and the node that fails."""
    machine = await node(bench, "a")
    await node(bench, "b")
    await service(bench, endpoint(1, machine, "web-1"), selector={"app": "web"})
    spec = target(chaos={"kind": kind, "backend": backend} | chaos)
    run = await bench.run(target=spec, stages=(LOAD, FAULT), faults=(fault(kind, backend, machine),))
    base, plural = (MESH, "networkchaos") if backend == "chaos-mesh" else (LITMUS, "chaosengines")
    name = external_name(run.meta.uid, FAULT.id, "" if backend == "chaos-mesh" else machine)
    return run, in_namespace(base, bench.namespace, plural, name), machine


async def test_a_tool_that_is_not_installed_is_told_until_it_is_stopped(bench: Bench) -> None:
    run, _, _ = await begun(bench, "chaos-mesh", "isolate")
    [failing] = run.status.faults
    assert await bench.cluster.external_of(run) == {}
    with pytest.raises(Unavailable, match="is chaos-mesh installed"):
        await bench.cluster.change(run, StartExternal(failing))
    state = (await bench.cluster.external_of(run))[FAULT.id]
    assert state.phase == "Failed"
    assert "is chaos-mesh installed" in state.message
    await bench.cluster.change(run, StopExternal(failing))
    assert await bench.cluster.external_of(run) == {}


@pytest.mark.usefixtures("tools")
async def test_chaos_mesh_is_asked_once_and_its_answer_is_read(bench: Bench) -> None:
    run, path, machine = await begun(bench, "chaos-mesh", "isolate")
    [failing] = run.status.faults
    assert await bench.cluster.external_of(run) == {}
    for _ in range(2):
        await bench.cluster.change(run, StartExternal(failing))
    stored = await bench.api.get(path)
    assert stored["spec"]["selector"]["nodes"] == [machine]
    assert stored["spec"]["selector"]["labelSelectors"] == {"app": "web"}
    assert stored["spec"]["duration"] == "20000ms"
    assert (await bench.cluster.external_of(run))[FAULT.id].phase == "Pending"
    # What its controller writes once the packets of the pod are dropped.
    records = [{"id": f"{bench.namespace}/web-1", "phase": "Injected", "injectedCount": 1}]
    await bench.api.merge(path, {"status": {"experiment": {"desiredPhase": "Run", "containerRecords": records}}})
    assert (await bench.cluster.external_of(run))[FAULT.id].phase == "Injected"
    for _ in range(2):
        await bench.cluster.change(run, StopExternal(failing))
    assert await bench.cluster.external_of(run) == {}


@pytest.mark.usefixtures("tools")
async def test_an_experiment_that_its_controller_still_holds_is_still_seen(bench: Bench) -> None:
    run, path, _ = await begun(bench, "chaos-mesh", "isolate")
    [failing] = run.status.faults
    await bench.cluster.change(run, StartExternal(failing))
    # What its controller puts on before it injects, and takes off once it has recovered every pod.
    await bench.api.merge(path, {"metadata": {"finalizers": ["chaos-mesh/records"]}})
    records = [{"id": f"{bench.namespace}/web-1", "phase": "Injected", "injectedCount": 1}]
    await bench.api.merge(path, {"status": {"experiment": {"desiredPhase": "Run", "containerRecords": records}}})
    for _ in range(2):
        await bench.cluster.change(run, StopExternal(failing))
    state = (await bench.cluster.external_of(run))[FAULT.id]
    assert (state.phase, "recovering" in state.message) == ("Injected", True)
    await bench.api.merge(path, {"metadata": {"finalizers": None}})
    assert await bench.cluster.external_of(run) == {}


@pytest.mark.usefixtures("tools")
async def test_litmus_is_asked_and_stopped_step_by_step(bench: Bench) -> None:
    run, path, machine = await begun(bench, "litmus", "drain", serviceAccountName="litmus-admin")
    [failing] = run.status.faults
    for _ in range(2):
        await bench.cluster.change(run, StartExternal(failing))
    stored = await bench.api.get(path)
    components = stored["spec"]["experiments"][0]["spec"]["components"]
    assert {"name": "TARGET_NODE", "value": machine} in components["env"]
    assert components["nodeSelector"]["kubernetes.io/hostname"] != f"{machine}.example"
    running = {"engineStatus": "initialized", "experiments": [{"status": "Running"}]}
    await bench.api.merge(path, {"status": running})
    assert (await bench.cluster.external_of(run))[FAULT.id].phase == "Injected"
    await bench.cluster.change(run, StopExternal(failing))
    assert (await bench.api.get(path))["spec"]["engineState"] == "stop"
    # What its operator writes when it has stopped the experiment.
    await bench.api.merge(path, {"status": {"engineStatus": "stopped"}})
    assert (await bench.cluster.external_of(run))[FAULT.id].phase == "Recovered"
    for _ in range(2):
        await bench.cluster.change(run, StopExternal(failing))
    assert await bench.cluster.external_of(run) == {}


@pytest.mark.usefixtures("tools")
async def test_a_result_of_litmus_goes_with_its_engine(bench: Bench) -> None:
    run, path, _ = await begun(bench, "litmus", "drain", serviceAccountName="litmus-admin")
    [failing] = run.status.faults
    await bench.cluster.change(run, StartExternal(failing))
    name = f"{path.rpartition('/')[2]}-node-drain"
    results = in_namespace(LITMUS, bench.namespace, "chaosresults")
    result = {"apiVersion": "litmuschaos.io/v1alpha1", "kind": "ChaosResult", "metadata": {"name": name}}
    reason = {"experimentStatus": {"errorOutput": {"reason": "the node refuses to be drained"}}}
    await bench.make(results, result | {"status": reason})
    ended = {"engineStatus": "completed", "experiments": [{"status": "Completed", "verdict": "Fail"}]}
    await bench.api.merge(path, {"status": ended})
    state = (await bench.cluster.external_of(run))[FAULT.id]
    assert state.phase == "Failed"
    assert "the node refuses to be drained" in state.message
    await bench.cluster.change(run, StopExternal(failing))
    assert [each async for each in bench.api.pages(results)] == []


@pytest.mark.usefixtures("tools")
async def test_what_the_tool_lacks_is_told_in_its_sentence(bench: Bench) -> None:
    run, _, _ = await begun(bench, "litmus", "drain")
    [failing] = run.status.faults
    with pytest.raises(Unavailable, match="serviceAccountName"):
        await bench.cluster.change(run, StartExternal(failing))
    assert (await bench.cluster.external_of(run))[FAULT.id].phase == "Failed"
