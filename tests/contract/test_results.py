"""Results come from the right pod only, are stored before they are acknowledged, and count once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import attrs
import pytest
from aiohttp import web
from surroundings import LOAD, NOW, fault
from workbench import STAGE, Bench, start_of

from perfrun.adapters.paths import pods_path
from perfrun.api.faults import FaultStatus
from perfrun.api.run import Phase
from perfrun.controller.access import Access
from perfrun.controller.admission import Admission
from perfrun.controller.http import Services, public
from perfrun.controller.results import MAX_RESULT_BYTES, Results
from perfrun.controller.telemetry import Telemetry
from perfrun.lifecycle.values import Key, Run, StartLoad, StopLoad
from perfrun.manifests.labels import RUN_UID
from perfrun.manifests.names import agent_name, pod_name
from perfrun.ports import checkpoint_path, result_path, shard_path
from perfrun_kernels.contract import AUDIENCE, PARTIAL_QUERY, Result

pytestmark = pytest.mark.contract

ATTACKER = "00000000-0000-0000-0000-000000000000"


@attrs.define
class Endpoint:
    """The operator's public port on loopback, one run with its pod, and whom it woke."""

    bench: Bench
    run: Run
    session: aiohttp.ClientSession
    woken: list[Key]
    leads: bool = True

    async def put(
        self, body: bytes, token: str | None, run: str = "run", attempt: int = 1, stage: str = STAGE.id, shard: str = ""
    ) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        path = f"/results/{self.bench.namespace}/{run}/{stage}/{attempt}{shard and f'/{shard}'}"
        async with self.session.put(path, data=body, headers=headers) as answer:
            return answer.status, (await answer.json())["message"]

    async def checkpoint(self, body: bytes, token: str | None, attempt: int = 1, shard: str = "") -> tuple[int, str]:
        path = f"/results/{self.bench.namespace}/run/{STAGE.id}/{attempt}{shard}?{PARTIAL_QUERY}"
        async with self.session.put(path, data=body, headers={"Authorization": f"Bearer {token}"}) as answer:
            return answer.status, (await answer.json())["message"]

    async def kept(self) -> bytes | None:
        found = await self.bench.artifacts.get(checkpoint_path(self.run.meta.uid, STAGE.id, 1))
        return None if found is None else found[1]

    async def get(self, path: str, token: str | None = None) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.session.get(path, headers=headers) as answer:
            return answer.status, await answer.read()

    async def stored(self, attempt: int = 1) -> bytes | None:
        found = await self.bench.artifacts.get(result_path(self.run.meta.uid, STAGE.id, attempt))
        return None if found is None else found[1]

    async def token(self, pod: str, audience: str | None = AUDIENCE) -> str:
        """Ask for a token as the kubelet does for the pod's projected volume."""
        uid = (await self.bench.api.get(pods_path(self.bench.namespace, pod)))["metadata"]["uid"]
        reference = {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}
        return await self.account_token(audience, {"boundObjectRef": reference})

    async def account_token(self, audience: str | None, spec: dict[str, Any]) -> str:
        path = f"/api/v1/namespaces/{self.bench.namespace}/serviceaccounts/default/token"
        audiences = {"audiences": [audience]} if audience else {}
        answer = await self.bench.api.create(path, {"spec": {"expirationSeconds": 600, **audiences, **spec}})
        return str(answer["status"]["token"])


@pytest.fixture
async def endpoint(bench: Bench) -> AsyncIterator[Endpoint]:
    run = await bench.run()
    await bench.cluster.start_pod(run, start_of(run))
    woken: list[Key] = []
    access = Access(bench.api)
    async with contextlib.AsyncExitStack() as stack:
        services = Services(
            cluster=bench.cluster, artifacts=bench.artifacts, access=access,
            results=Results(bench.api, bench.cluster, bench.artifacts, access, woken.append, bench.namespace),
            review=Admission(bench.cluster).review, telemetry=Telemetry(), leads=lambda: made.leads,
            namespace_of=lambda uid: bench.namespace if uid == run.meta.uid else None,
        )  # fmt: skip
        runner = web.AppRunner(public(services))
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        session = await stack.enter_async_context(aiohttp.ClientSession(url))
        made = Endpoint(bench, run, session, woken)
        yield made


def result(message: str = "", **changes: Any) -> bytes:
    now = time.time()
    base = Result(
        run="run", stage=STAGE.id, attempt=1, outcome="Unmeasurable", started=now, finished=now, message=message
    )
    return Result(**(vars(base) | changes)).to_json().encode()


def pod_of(endpoint: Endpoint) -> str:
    return start_of(endpoint.run).name


async def test_the_right_pod_hands_in_and_its_run_is_woken(endpoint: Endpoint) -> None:
    body = result()
    assert await endpoint.put(body, await endpoint.token(pod_of(endpoint))) == (200, "stored")
    assert await endpoint.stored() == body
    assert endpoint.woken == [Key("PerfRun", endpoint.bench.namespace, "run")]


async def test_a_checkpoint_is_kept_beside_the_result_and_the_newest_counts(endpoint: Endpoint) -> None:
    token = await endpoint.token(pod_of(endpoint))
    for body in (result("first"), result("second")):
        assert await endpoint.checkpoint(body, token) == (200, "stored")
        assert await endpoint.kept() == body
    assert await endpoint.stored() is None
    assert endpoint.woken == []
    assert await endpoint.put(result("all"), token) == (200, "stored")
    assert await endpoint.kept() == body


async def test_a_checkpoint_is_held_to_what_a_result_is_held_to(endpoint: Endpoint) -> None:
    token = await endpoint.token(pod_of(endpoint))
    assert (await endpoint.checkpoint(result(), "x"))[0] in (401, 403)
    assert (await endpoint.checkpoint(result(), token, attempt=2))[0] == 403
    assert (await endpoint.checkpoint(b"hello, world", token))[0] == 400
    assert (await endpoint.checkpoint(result(attempt=2), token))[0] == 400
    assert (await endpoint.checkpoint(result(), token, shard="/0"))[0] == 404
    assert await endpoint.kept() is None


async def test_the_same_again_is_taken_again_and_another_is_a_conflict(endpoint: Endpoint) -> None:
    token, body = await endpoint.token(pod_of(endpoint)), result()
    assert [(await endpoint.put(body, token))[0] for _ in range(2)] == [200, 200]
    status, message = await endpoint.put(result("other"), token)
    assert status == 409
    assert "was handed in before" in message
    assert await endpoint.stored() == body


async def generators(endpoint: Endpoint) -> dict[int, str]:
    """Start the load of a run and return the names of its pods by shard."""
    name = pod_name("run", LOAD.id, 1)
    await endpoint.bench.cluster.change(endpoint.run, StartLoad(name, LOAD, 1, NOW))
    while True:
        pods = (await endpoint.bench.cluster.pods_of(endpoint.run)).values()
        found = {each.index: each.name for each in pods if each.index is not None}
        if len(found) == LOAD.shards:
            return found
        await asyncio.sleep(0.05)


async def test_each_generator_hands_in_its_shard_and_no_other(endpoint: Endpoint) -> None:
    pods, body = await generators(endpoint), result(stage=LOAD.id)
    first = await endpoint.token(pods[0])
    assert await endpoint.put(body, first, stage=LOAD.id, shard="0") == (200, "stored")
    assert await endpoint.put(body, first, stage=LOAD.id, shard="0") == (200, "stored")
    found = await endpoint.bench.artifacts.get(shard_path(endpoint.run.meta.uid, LOAD.id, 1, 0))
    assert found is not None
    assert found[1] == body
    status, message = await endpoint.put(body, first, stage=LOAD.id, shard="1")
    assert (status, "expected pod 1 of Job" in message) == (403, True)
    assert (await endpoint.put(body, first, stage=LOAD.id, shard="7"))[0] == 403
    assert (await endpoint.put(body, first, stage=LOAD.id))[0] == 403
    assert (await endpoint.put(body, await endpoint.token(pods[1]), stage=LOAD.id, shard="1"))[0] == 200
    assert (await endpoint.put(body, first, stage=LOAD.id, shard="x"))[0] == 404
    assert (await endpoint.put(result("other", stage=LOAD.id), first, stage=LOAD.id, shard="0"))[0] == 409


async def test_no_pod_that_only_says_that_it_is_a_shard(endpoint: Endpoint) -> None:
    await generators(endpoint)
    job = pod_name("run", LOAD.id, 1)
    index = {"batch.kubernetes.io/job-completion-index": "0"}
    body = {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": f"{job}-0-abcde", "annotations": index},
        "spec": {"containers": [{"name": "c", "image": "perfrun.dev/none:1"}]},
    }  # fmt: skip
    await endpoint.bench.api.create(pods_path(endpoint.bench.namespace), body)
    token = await endpoint.token(f"{job}-0-abcde")
    status, message = await endpoint.put(result(stage=LOAD.id), token, stage=LOAD.id, shard="0")
    assert (status, "expected pod 0 of Job" in message) == (403, True)


async def test_no_generator_of_an_attempt_that_was_stopped(endpoint: Endpoint) -> None:
    token = await endpoint.token((await generators(endpoint))[0])
    await endpoint.bench.cluster.change(endpoint.run, StopLoad(pod_name("run", LOAD.id, 1)))
    assert (await endpoint.put(result(stage=LOAD.id), token, stage=LOAD.id, shard="0"))[0] in (401, 403)


async def agent(endpoint: Endpoint, fault: FaultStatus, node: str, attempt: int = 1) -> str:
    """Start the agent of a fault on a node and return a token of its pod."""
    bench, uid = endpoint.bench, endpoint.run.meta.uid
    name = agent_name(uid, fault.id, node, fault.kind, attempt)
    body = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {RUN_UID: uid}},
        "spec": {"containers": [{"name": "agent", "image": "perfrun.dev/none:1"}]},
    }  # fmt: skip
    await bench.api.create(pods_path(bench.namespace, ""), body)
    return await endpoint.token(name)


async def test_an_agent_hands_in_for_its_faults_stage_and_nobody_else_does(endpoint: Endpoint) -> None:
    spike = fault("spike", "native", "n1", id="s1-spike")
    cut = fault("isolate", "native", "n1", id="s1-fault")
    status = endpoint.run.status.replace(faults=(spike, cut))
    endpoint.run = await endpoint.bench.cluster.save_run(endpoint.run, status)
    body = result(stage=spike.id)
    token = await agent(endpoint, spike, "n1")
    others = {
        "an agent on another node": await agent(endpoint, spike, "n2"),
        "an agent of another attempt": await agent(endpoint, spike, "n1", 2),
        "an agent of another fault": await agent(endpoint, cut, "n1"),
        "a benchmark pod": await endpoint.token(pod_of(endpoint)),
    }
    for other in others.values():
        status, message = await endpoint.put(body, other, stage=spike.id)
        assert (status, "may not hand in the result of attempt 1 at s1-spike; expected pod" in message) == (403, True)
    assert await endpoint.put(body, token, stage=spike.id) == (200, "stored")
    found = await endpoint.bench.artifacts.get(result_path(endpoint.run.meta.uid, spike.id, 1))
    assert found is not None
    assert found[1] == body
    # What only breaks nodes measures nothing, and an agent has no part in other stages.
    assert (await endpoint.put(result(stage=cut.id), others["an agent of another fault"], stage=cut.id))[0] == 403
    assert (await endpoint.put(result(), token))[0] == 403
    assert (await endpoint.put(body, token, stage=spike.id, shard="0"))[0] == 403


async def test_nobody_without_a_token(endpoint: Endpoint) -> None:
    assert (await endpoint.put(result(), None))[0] == 401
    assert (await endpoint.put(result(), "nonsense"))[0] == 401
    assert await endpoint.stored() is None


@pytest.mark.parametrize("audience", ["somebody.else", None], ids=["other audience", "API server's audience"])
async def test_no_token_meant_for_somebody_else(endpoint: Endpoint, audience: str | None) -> None:
    status, _ = await endpoint.put(result(), await endpoint.token(pod_of(endpoint), audience))
    assert status == 401
    assert await endpoint.stored() is None


async def test_no_token_that_is_bound_to_no_pod(endpoint: Endpoint) -> None:
    status, message = await endpoint.put(result(), await endpoint.account_token(AUDIENCE, {}))
    assert status == 403
    assert "not bound to a pod" in message


async def test_no_other_pod_of_the_same_run(endpoint: Endpoint) -> None:
    await endpoint.bench.cluster.start_pod(endpoint.run, start_of(endpoint.run, 2))
    token = await endpoint.token(start_of(endpoint.run, 2).name)
    status, message = await endpoint.put(result(), token)
    assert status == 403
    assert f"expected pod {endpoint.bench.namespace}/{pod_of(endpoint)}" in message
    assert (await endpoint.put(result(attempt=2), token, attempt=2))[0] == 200


async def test_no_pod_that_only_bears_the_name(endpoint: Endpoint) -> None:
    namespace = endpoint.bench.namespace
    await endpoint.bench.run("other")
    name = start_of(attrs.evolve(endpoint.run, meta=attrs.evolve(endpoint.run.meta, name="other"))).name
    body = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "perfrun.dev/none:1"}]},
    }  # fmt: skip
    await endpoint.bench.api.create(pods_path(namespace), body)
    status, message = await endpoint.put(result(run="other"), await endpoint.token(name), run="other")
    assert status == 403
    assert "does not belong to this PerfRun" in message


async def test_nonsense_is_refused_in_a_sentence_and_kept_for_the_verdict(endpoint: Endpoint) -> None:
    token = await endpoint.token(pod_of(endpoint))
    status, message = await endpoint.put(b"Traceback: oops", token)
    assert status == 400
    assert "expected a result as JSON, found 'Traceback: oops'" in message
    assert await endpoint.stored() == b"Traceback: oops"
    assert endpoint.woken


@pytest.mark.parametrize("body", [b"\xff", b"[]", b"{}", b'{"version": 1}', b'{"version": 99}'])
async def test_whatever_is_no_result_is_refused(endpoint: Endpoint, body: bytes) -> None:
    assert (await endpoint.put(body, await endpoint.token(pod_of(endpoint))))[0] == 400


async def test_a_result_of_another_attempt_is_not_stored(endpoint: Endpoint) -> None:
    status, message = await endpoint.put(result(attempt=7), await endpoint.token(pod_of(endpoint)))
    assert status == 400
    assert "says that it is of" in message
    assert await endpoint.stored() is None


async def test_what_is_too_large_is_refused_in_a_sentence(endpoint: Endpoint) -> None:
    status, message = await endpoint.put(b"x" * (MAX_RESULT_BYTES + 1), await endpoint.token(pod_of(endpoint)))
    assert (status, message) == (413, f"expected at most {MAX_RESULT_BYTES} bytes")


async def test_a_run_that_is_not_there(endpoint: Endpoint) -> None:
    assert (await endpoint.put(result(), await endpoint.token(pod_of(endpoint)), run="none"))[0] == 404


async def test_nothing_is_added_to_a_finished_run_but_a_lost_answer_is_repeated(endpoint: Endpoint) -> None:
    token, body = await endpoint.token(pod_of(endpoint)), result()
    await endpoint.put(body, token)
    await endpoint.bench.cluster.start_pod(endpoint.run, start_of(endpoint.run, 2))
    late = await endpoint.token(start_of(endpoint.run, 2).name)
    await endpoint.bench.cluster.save_run(endpoint.run, endpoint.run.status.replace(phase=Phase.CANCELLED))
    assert (await endpoint.put(body, token))[0] == 200
    assert (await endpoint.put(result(attempt=2), late, attempt=2))[0] == 410


async def test_a_standby_asks_to_come_again(endpoint: Endpoint) -> None:
    endpoint.leads = False
    assert (await endpoint.put(result(), await endpoint.token(pod_of(endpoint))))[0] == 503
    assert await endpoint.stored() is None


async def may_read_runs(endpoint: Endpoint) -> None:
    """Let the namespace's account read runs, and wait until the API server has heard of it."""
    namespace, group = endpoint.bench.namespace, "/apis/rbac.authorization.k8s.io/v1"
    rules = [{"apiGroups": ["perfrun.dev"], "resources": ["perfruns"], "verbs": ["get"]}]
    api = "rbac.authorization.k8s.io"
    role = {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": {"name": "reader"}, "rules": rules}
    await endpoint.bench.api.create(f"{group}/namespaces/{namespace}/roles", role)
    binding = {
        "apiVersion": f"{api}/v1", "kind": "RoleBinding", "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": api, "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
    }  # fmt: skip
    await endpoint.bench.api.create(f"{group}/namespaces/{namespace}/rolebindings", binding)
    token = await endpoint.account_token(None, {})
    for _ in range(100):
        if (await endpoint.get(f"/artifacts/runs/{endpoint.run.meta.uid}/none", token))[0] != 403:
            return
        await asyncio.sleep(0.05)


async def test_evidence_is_read_by_whoever_may_read_the_run(endpoint: Endpoint, kubectl: Any) -> None:
    body = result()
    await endpoint.put(body, await endpoint.token(pod_of(endpoint)))
    path = f"/artifacts/{result_path(endpoint.run.meta.uid, STAGE.id, 1)}"
    reader = await endpoint.account_token(None, {})
    assert (await endpoint.get(path))[0] == 401
    assert (await endpoint.get(path, reader))[0] == 403
    namespace = endpoint.bench.namespace
    kubectl("-n", namespace, "create", "role", "reader", "--verb=get", "--resource=perfruns.perfrun.dev")
    kubectl(
        "-n", namespace, "create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={namespace}:default"
    )
    answer = (0, b"")
    # The API server hears of the role a moment later.
    for _ in range(100):
        answer = await endpoint.get(path, reader)
        if answer[0] != 403:
            break
        await asyncio.sleep(0.05)
    assert answer == (200, body)
    assert (await endpoint.get(f"/artifacts/runs/{endpoint.run.meta.uid}/none", reader))[0] == 404
    assert (await endpoint.get(f"/artifacts/runs/{ATTACKER}/x", reader))[0] == 404


async def test_pictures_and_traces_are_given_out_as_what_they_are_and_can_do_nothing(endpoint: Endpoint) -> None:
    uid = endpoint.run.meta.uid
    await endpoint.bench.artifacts.put(f"runs/{uid}/s1-spike.timeline.svg", b"<svg/>")
    await endpoint.bench.artifacts.put(f"runs/{uid}/s1-spike.trace.pftrace", b"\x0a\x00")
    await may_read_runs(endpoint)
    token = await endpoint.account_token(None, {})
    for name, kind in (("timeline.svg", "image/svg+xml"), ("trace.pftrace", "application/x-protobuf")):
        headers = {"Authorization": f"Bearer {token}"}
        async with endpoint.session.get(f"/artifacts/runs/{uid}/s1-spike.{name}", headers=headers) as answer:
            assert (answer.status, answer.headers["Content-Type"]) == (200, kind)
            assert "sandbox" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_pipeline_reads_one_verdict(endpoint: Endpoint) -> None:
    path = f"/api/v1/namespaces/{endpoint.bench.namespace}/perfruns"
    async with endpoint.session.get(f"{path}/run") as answer:
        running = await answer.json()
    assert (running["finished"], running["verdict"], running["passed"]) == (False, None, False)
    status = endpoint.run.status.replace(phase=Phase.PASSED, verdict="Pass", summary="1/1")
    await endpoint.bench.cluster.save_run(endpoint.run, status)
    async with endpoint.session.get(f"{path}/run") as answer:
        passed = await answer.json()
    assert (passed["finished"], passed["verdict"], passed["passed"]) == (True, "Pass", True)
    assert (await endpoint.get(f"{path}/none"))[0] == 404
