"""What runs that load or break something see, read from a real API server: nothing more, nothing less."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from kubernetes.aio.client.configuration import Configuration
from surroundings import FAULT, IDS, LOAD, SCALE, SERVICES, endpoint, fault, node, path, pod, service, target
from workbench import PODS, STAGE, Bench

from perfrun.adapters.api import Api, load_configuration
from perfrun.adapters.clock import SystemClock
from perfrun.adapters.kubernetes import KubernetesCluster
from perfrun.adapters.paths import in_namespace, pods_path
from perfrun.api.run import Phase
from perfrun.api.service import Workload
from perfrun.lifecycle.values import Hold, Missing, Release
from perfrun.manifests.agents import AgentSettings
from perfrun.ports import Unavailable

pytestmark = pytest.mark.contract


async def test_a_node_is_seen_as_it_is(bench: Bench) -> None:
    name = await node(bench, "a", labels={"pool": "web"})
    view = (await bench.cluster.nodes())[name]
    assert (view.ready, view.cordoned, view.cpu, view.labels["pool"]) == (True, False, 3.92, "web")


async def test_those_that_serve_are_the_ready_pods_of_all_slices(bench: Bench) -> None:
    await service(
        bench, endpoint(1, "a", "web-1"), endpoint(2, "b", "web-2", ready=False), endpoint(3, "b", "web-3", ready=None)
    )
    more = {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "ports": [],
        "metadata": {"name": "web-2", "labels": {"kubernetes.io/service-name": "web"}},
        "endpoints": [endpoint(4, "a", "web-4"), endpoint(5, "a", "web-1")],
    }  # fmt: skip
    await bench.make(in_namespace("/apis/discovery.k8s.io/v1", bench.namespace, "endpointslices"), more)
    assert await bench.cluster.serving(bench.namespace, "web") == {"a": ("web-1", "web-4"), "b": ("web-3",)}


async def test_a_service_that_is_not_there_is_told(bench: Bench) -> None:
    missing = await bench.cluster.serving(bench.namespace, "web")
    assert isinstance(missing, Missing)
    assert (missing.reason, "create it" in missing.message) == ("ServiceNotFound", True)
    await service(bench)
    assert await bench.cluster.serving(bench.namespace, "web") == {}


async def test_a_workload_that_is_not_there_is_told(bench: Bench) -> None:
    missing = await bench.cluster.workload(bench.namespace, Workload(kind="StatefulSet", name="db"))
    assert isinstance(missing, Missing)
    assert "StatefulSet" in missing.message


async def test_other_runs_of_the_target_are_seen_until_they_are_finished(bench: Bench) -> None:
    run = await bench.run("mine", target=target(), stages=(LOAD,))
    loading = await bench.run("loading", target=target(), stages=(LOAD, FAULT))
    await bench.run("measuring", stages=(STAGE,))
    await bench.pending("pending")
    finished = await bench.run("finished", target=target(), stages=(LOAD,))
    await bench.cluster.save_run(finished, finished.status.replace(phase=Phase.PASSED))
    seen = {each.name: (each.running, each.disturbs) for each in await bench.cluster.others(run)}
    assert seen == {"loading": (True, True), "measuring": (True, False), "pending": (False, True)}
    await bench.cluster.save_run(loading, loading.status.replace(phase=Phase.CANCELLED))
    assert "loading" not in {each.name for each in await bench.cluster.others(run)}


async def test_runs_of_other_targets_are_nobodys_business(bench: Bench) -> None:
    run = await bench.run("mine", target=target(), stages=(LOAD,))
    other = attrs.evolve(run, spec=run.spec.replace(target_ref="elsewhere"))
    assert await bench.cluster.others(other) == ()


async def test_faults_of_other_runs_are_seen_from_hold_to_undone(bench: Bench) -> None:
    mine = await bench.run("mine", target=target())
    other = await bench.run("other", target=target(), faults=(fault("isolate", "native", "a"),))
    await bench.cluster.change(other, Hold())
    name = f"{bench.namespace}/other"
    assert name in await bench.cluster.foreign_faults(mine)
    assert name not in await bench.cluster.foreign_faults(other)
    held = await bench.again(other)
    settled = held.status.replace(faults=(fault("isolate", "native", "a", state="Undone"),))
    held = await bench.cluster.save_run(held, settled)
    assert name not in await bench.cluster.foreign_faults(mine)
    await bench.cluster.change(held, Release())


async def test_the_nodes_of_operator_and_prometheus_are_protected(bench: Bench) -> None:
    first, second, third = [await node(bench, each) for each in ("a", "b", "c")]
    operator = {"app.kubernetes.io/name": "perfrun", "app.kubernetes.io/instance": "x"}
    await pod(bench, "operator", first, labels=operator)
    await pod(bench, "generator", third, labels=operator | {"app.kubernetes.io/component": "benchmark"})
    await service(bench, endpoint(1, second, "prometheus-0", ready=False))
    run = await bench.run(target=target())
    host = f"web.{bench.namespace}.svc.cluster.local"
    protected = await bench.cluster.protected(run, f"http://{host}:9090")
    assert {name: protected.get(name) for name in (first, second, third)} == {
        first: "the operator",
        second: "Prometheus",
        third: None,
    }
    address = (await bench.api.get(path(bench, SERVICES, "web")))["spec"]["clusterIP"]
    assert (await bench.cluster.protected(run, f"http://{address}:9090"))[second] == "Prometheus"
    assert (await bench.cluster.protected(run, "http://192.0.2.7:9090"))[third] == "Prometheus"
    assert second not in await bench.cluster.protected(run, "http://prometheus.example.com")
    assert second not in await bench.cluster.protected(run, "")


async def test_ids_are_not_invented_where_there_are_no_logs(bench: Bench) -> None:
    log = {"container": "web"}
    run = await bench.run(target=target(requestLog=log), stages=(LOAD, IDS))
    await node(bench, "a")
    await service(bench, selector={"app": "web"})
    await pod(bench, "web-1", labels={"app": "web"})
    now = SystemClock().now()
    served = await bench.cluster.served_ids(run, IDS, now)
    assert served.ids == ()
    assert served.pods == ("web-1",)
    [gap] = served.gaps
    # Whether the container is not there yet or never will be depends on whether the cluster has kubelets.
    assert "web-1" in gap


@attrs.frozen
class Limited:
    """The adapter as an operator that has only the rights that a test gave it."""

    cluster: KubernetesCluster
    grant: Callable[..., str]


@pytest.fixture
async def limited(bench: Bench, kubeconfig: Path, kubectl: Callable[..., str]) -> AsyncIterator[Limited]:
    account = in_namespace("/api/v1", bench.namespace, "serviceaccounts", "default")
    answer = await bench.api.create(f"{account}/token", {"spec": {"expirationSeconds": 600}})

    async def load() -> Configuration:
        configuration = await load_configuration(str(kubeconfig))
        configuration.cert_file = configuration.key_file = None
        configuration.api_key = {"BearerToken": f"Bearer {answer['status']['token']}"}
        return configuration

    def grant(*rules: dict[str, Any]) -> str:
        metadata = {"name": bench.namespace}
        subject = {"kind": "ServiceAccount", "name": "default", "namespace": bench.namespace}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": bench.namespace}
        version = "rbac.authorization.k8s.io/v1"
        items = [
            {"apiVersion": version, "kind": "ClusterRole", "metadata": metadata, "rules": list(rules)},
            {
                "apiVersion": version, "kind": "ClusterRoleBinding", "metadata": metadata, "roleRef": role,
                "subjects": [subject],
            },
        ]  # fmt: skip
        return kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))

    api = await Api.connect(load)
    agents = AgentSettings(namespace=bench.namespace)
    yield Limited(KubernetesCluster(api, PODS, SystemClock(), bench.events, agents=agents), grant)
    await api.close()
    kubectl("delete", "clusterrole,clusterrolebinding", bench.namespace, "--ignore-not-found")


def rule(group: str, resources: str, verbs: str) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split()}


SEEING = (
    rule("", "nodes services pods", "get list"), rule("discovery.k8s.io", "endpointslices", "list"),
    rule("batch", "jobs", "get list create delete"), rule("perfrun.dev", "perfruns", "get list patch"),
)  # fmt: skip
DRAINING = (*SEEING, rule("", "nodes", "patch"), rule("", "pods/eviction", "create"))


async def told(limited: Limited, run: Any, expected: str) -> None:
    """Wait until the server has heard of the rights that were granted: it does so a moment later."""
    said = None
    for _ in range(100):
        said = await limited.cluster.denied(run)
        if said == "" if expected == "" else expected in said:
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"expected {expected!r}, found {said!r}")


async def test_every_right_that_is_missing_is_named(bench: Bench, limited: Limited) -> None:
    run = await bench.run(target=target({"kind": "drain"}), stages=(LOAD, FAULT))
    await told(limited, run, f"create jobs.batch in namespace {bench.namespace}")
    limited.grant(*SEEING)
    await told(limited, run, "the operator may not patch nodes, create pods/eviction; grant it that")
    limited.grant(*DRAINING)
    await told(limited, run, "")


async def test_only_what_the_plan_needs_is_asked_for(bench: Bench, limited: Limited) -> None:
    limited.grant(*SEEING)
    await told(limited, await bench.run("loads", target=target({"kind": "drain"}), stages=(LOAD,)), "")
    spec = target({"kind": "isolate"}, workload={"name": "web"}, requestLog={"container": "web"})
    everything = await bench.run("all", target=spec, stages=(SCALE, LOAD, FAULT, IDS))
    missing = f"get pods/log in namespace {bench.namespace}, get deployments.apps in namespace {bench.namespace}"
    await told(limited, everything, missing)
    await told(limited, everything, f"create pods in namespace {bench.namespace}")


async def test_a_service_without_a_selector_is_nothing_for_chaos_mesh(bench: Bench) -> None:
    await service(bench)
    run = await bench.run(target=target({"kind": "isolate", "backend": "chaos-mesh"}), stages=(LOAD, FAULT))
    assert "the Service has no selector" in await bench.cluster.denied(run)


async def test_what_may_not_be_read_is_not_taken_for_nothing(bench: Bench, limited: Limited) -> None:
    run = await bench.run(target=target(), faults=(fault("isolate", "native", "a"),))
    for read in (limited.cluster.nodes(), limited.cluster.agents_of(run), limited.cluster.foreign_faults(run)):
        with pytest.raises(Unavailable, match="refuses"):
            await read
    assert await bench.api.get(pods_path(bench.namespace)) is not None
