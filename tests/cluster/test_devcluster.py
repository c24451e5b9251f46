"""A cluster that was brought up here does what any Kubernetes does: pods, names, logs, webhooks, metrics."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from perfrun.devcluster import cluster
from perfrun.devcluster.errors import DevClusterError
from perfrun.devcluster.images import base_image
from perfrun.devcluster.packages import BUSYBOX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.cluster

NAMESPACE = "devcluster-test"
RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
NON_ROOT = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}


@pytest.fixture(scope="module")
def info() -> Iterator[cluster.ClusterInfo]:
    name = f"test-a{os.getpid()}"
    try:
        yield cluster.up(name, 2, gpu_capacity={"node2": 4})
    finally:
        cluster.down(name)


@pytest.fixture(scope="module")
def kubectl(info: cluster.ClusterInfo) -> Callable[..., str]:
    def run(*arguments: str, document: object = None, check: bool = True) -> str:
        answer = subprocess.run(
            [info.kubectl, "--kubeconfig", info.kubeconfig, "--namespace", NAMESPACE, *arguments],
            input=json.dumps(document) if document else None, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert not check or answer.returncode == 0, answer.stderr
        return answer.stdout + answer.stderr

    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    run("create", "-f", "-", document=namespace)
    return run


@pytest.fixture(scope="module")
def web(kubectl: Callable[..., str]) -> str:
    """A pod on node2 that serves a metric, behind the Service `web`."""
    files = "mkdir -p /tmp/www; echo 'answer_to_everything 42' > /tmp/www/metrics; echo started"
    script = f"{files}; exec httpd -f -p 8080 -h /tmp/www"
    document = pod("web", ["sh", "-c", script], nodeName="node2")
    document["metadata"]["labels"] = {"app": "web"}
    document["metadata"]["annotations"] = {
        "prometheus.io/scrape": "true", "prometheus.io/port": "8080", "perfrun.dev/scrape-interval": "1s",
    }  # fmt: skip
    kubectl("create", "-f", "-", document=document)
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}
    kubectl("create", "-f", "-", document=service)
    kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=60s")
    return "web"


def pod(name: str, command: list[str], **spec: object) -> dict[str, Any]:
    container = {"name": "main", "image": "perfrun.dev/base:1", "command": command, "securityContext": RESTRICTED}
    common = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "securityContext": NON_ROOT}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {**common, "containers": [container], **spec},
    }


def finish(kubectl: Callable[..., str], document: dict[str, Any]) -> str:
    """Run a pod to its end and return what it printed."""
    name = document["metadata"]["name"]
    kubectl("create", "-f", "-", document=document)
    kubectl("wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=120s")
    return kubectl("logs", name)


def query(url: str, expression: str) -> list[dict[str, Any]]:
    """Ask Prometheus until there is an answer."""
    deadline = time.monotonic() + 60
    while True:
        address = f"{url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        if found:
            return found
        assert time.monotonic() < deadline, f"no data for {expression}"
        time.sleep(0.5)


def test_a_service_name_leads_from_one_node_to_a_pod_on_another(kubectl: Callable[..., str], web: str) -> None:
    command = ["wget", "-qO-", f"http://{web}.{NAMESPACE}.svc.cluster.local/metrics"]
    assert finish(kubectl, pod("client", command, nodeName="node1")) == "answer_to_everything 42\n"


def test_a_pod_reaches_itself_through_its_service(kubectl: Callable[..., str], web: str) -> None:
    assert (
        kubectl("exec", web, "--", "wget", "-qO-", f"http://{web}.{NAMESPACE}/metrics") == "answer_to_everything 42\n"
    )


def test_pods_reach_prometheus_by_name(kubectl: Callable[..., str], web: str) -> None:
    answer = kubectl("exec", web, "--", "wget", "-qO-", "http://prometheus.monitoring.svc:9090/-/ready")
    assert "Ready" in answer


def test_logs_are_read_from_the_node(kubectl: Callable[..., str], web: str) -> None:
    assert kubectl("logs", web) == "started\n"


def test_nothing_outside_can_be_reached(kubectl: Callable[..., str], web: str) -> None:
    # 192.0.2.0/24 is nobody's (RFC 5737); what counts is that there is no way to it.
    answer = kubectl("exec", web, "--", "nc", "-w", "2", "192.0.2.1", "80", check=False)
    assert "unreachable" in answer


def test_cadvisor_tells_of_each_node_through_prometheus(info: cluster.ClusterInfo, web: str) -> None:
    expression = f'container_memory_working_set_bytes{{namespace="{NAMESPACE}",pod="{web}",container="main"}}'
    assert query(info.prometheus_url, expression)[0]["metric"]["node"] == "node2"
    # One API server, one DNS, and twice two nodes.
    query(info.prometheus_url, 'count(up{job=~"apiserver|kubelet|cadvisor|coredns"} == 1) == 6')


def test_exporters_tell_of_each_node_as_often_as_is_asked(info: cluster.ClusterInfo) -> None:
    for series, per_minute in (
        ('node_cpu_seconds_total{cpu="0",mode="idle"}', 4),
        ("node_memory_MemAvailable_bytes", 4),
        ('probe_icmp_duration_seconds{phase="rtt"}', 12),
        ("node_network_receive_bytes_total", 12),
        ("node_network_receive_errs_total", 60),
    ):
        # Twenty seconds hold one or two of the slowest; a busy machine may be late for one of the fastest.
        least = max(1, per_minute // 3 - 1)
        query(info.prometheus_url, f"count(count_over_time({series}[20s]) >= {least}) == 2")


def test_annotated_pods_are_scraped_as_often_as_they_say(info: cluster.ClusterInfo, web: str) -> None:
    found = query(info.prometheus_url, f'answer_to_everything{{pod="{web}"}}')[0]
    assert found["value"][1] == "42"
    assert found["metric"]["namespace"] == NAMESPACE
    # More in five seconds than the usual interval of five seconds could give.
    query(info.prometheus_url, f'count_over_time(answer_to_everything{{pod="{web}"}}[5s]) >= 3')


def test_the_host_runtime_runs_this_python_without_root(kubectl: Callable[..., str]) -> None:
    code = """
import os, sys, torch
from perfrun_kernels import contract
print(os.getuid(), sys.prefix, int(torch.ones(3).sum()), contract.__file__)
"""
    document = pod("torch", [sys.executable, "-c", code], runtimeClassName="perfrun-host")
    container = document["spec"]["containers"][0]
    container["securityContext"] = {**RESTRICTED, "readOnlyRootFilesystem": True}
    # Not at /tmp, which would hide a checkout below it.
    container["volumeMounts"] = [{"name": "tmp", "mountPath": "/scratch"}]
    container["env"] = [{"name": "TMPDIR", "value": "/scratch"}]
    document["spec"]["volumes"] = [{"name": "tmp", "emptyDir": {}}]
    user, prefix, total, contract = finish(kubectl, document).split()
    assert (user, prefix, total) == ("65532", sys.prefix, "3")
    assert contract.endswith("perfrun_kernels/contract.py")


def test_the_host_runtime_cannot_write_to_the_host(kubectl: Callable[..., str]) -> None:
    command = ["sh", "-c", f"touch /usr/x {sys.prefix}/x 2>&1; true"]
    answer = finish(kubectl, pod("writer", command, runtimeClassName="perfrun-host"))
    assert answer.count("Read-only file system") == 2, answer


def test_privileged_pods_are_refused_where_the_namespace_is_restricted(kubectl: Callable[..., str]) -> None:
    document = pod("root", ["true"])
    document["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    assert "violates PodSecurity" in kubectl("create", "-f", "-", document=document, check=False)


def test_webhooks_are_reached_through_their_service(kubectl: Callable[..., str], web: str) -> None:
    selector = {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}
    hook = {
        "name": "plain.perfrun.dev", "admissionReviewVersions": ["v1"], "sideEffects": "None", "rules": [rule],
        "namespaceSelector": selector, "clientConfig": {"service": {"name": web, "namespace": NAMESPACE, "port": 80}},
    }  # fmt: skip
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "plain"}, "webhooks": [hook],
    }  # fmt: skip
    kubectl("create", "-f", "-", document=configuration)
    try:
        # The API server learns of a webhook a moment later.
        deadline = time.monotonic() + 30
        answer = ""
        while "failed calling webhook" not in answer:
            assert time.monotonic() < deadline, answer
            answer = kubectl("create", "secret", "generic", f"s{time.monotonic_ns()}", check=False)
    finally:
        kubectl("delete", "validatingwebhookconfiguration", "plain")
    # A server that speaks no TLS was reached: without a route this would be a time-out.
    assert "server gave HTTP response to HTTPS client" in answer


def test_tokens_of_any_audience_are_issued_and_reviewed(kubectl: Callable[..., str]) -> None:
    token = kubectl("create", "token", "default", "--audience", "perfrun-results").strip()

    def review(audience: str) -> dict[str, Any]:
        document = {
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        }  # fmt: skip
        status: dict[str, Any] = json.loads(kubectl("create", "-o", "json", "-f", "-", document=document))["status"]
        return status

    assert review("perfrun-results")["user"]["username"] == f"system:serviceaccount:{NAMESPACE}:default"
    assert not review("someone-else").get("authenticated")


def test_gpus_are_there_for_the_scheduler(kubectl: Callable[..., str]) -> None:
    document = pod("gpu", ["true"])
    document["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "3"}}
    finish(kubectl, document)
    assert kubectl("get", "pod", "gpu", "-o", "jsonpath={.spec.nodeName}") == "node2"


def test_all_nodes_together_offer_no_more_than_the_machine(
    kubectl: Callable[..., str], info: cluster.ClusterInfo
) -> None:
    health = cluster.health(info.name)
    assert sum(node.cpu_milli for node in health.nodes) <= 1000 * (os.cpu_count() or 1)
    assert sum(node.memory_bytes for node in health.nodes) <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_a_loaded_image_runs_on_every_node(
    kubectl: Callable[..., str], info: cluster.ClusterInfo, tmp_path: Path
) -> None:
    archive = tmp_path / "image.tar"
    archive.write_bytes(renamed(base_image(BUSYBOX.read_bytes()), "example.test/team/tool:7"))
    assert cluster.load_image(archive, info.name) == ["example.test/team/tool:7"]
    for node in ("node1", "node2"):
        document = pod(f"loaded-{node}", ["echo", "here"], nodeName=node)
        document["spec"]["containers"][0]["image"] = "example.test/team/tool:7"
        assert finish(kubectl, document) == "here\n"


def renamed(archive: bytes, reference: str) -> bytes:
    """The same image under another name."""
    target = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive)) as source, tarfile.open(fileobj=target, mode="w") as result:
        for member in source.getmembers():
            file = source.extractfile(member)
            assert file is not None
            content = file.read()
            if member.name == "index.json":
                content = content.replace(b"perfrun.dev/base:1", reference.encode())
                member.size = len(content)
            result.addfile(member, io.BytesIO(content))
    return target.getvalue()


def test_a_second_up_leaves_the_cluster_as_it_is(info: cluster.ClusterInfo) -> None:
    said: list[str] = []
    again = cluster.up(info.name, 2, said.append)
    assert again == info
    assert said == [f"cluster '{info.name}' is already up with 2 nodes"]


def test_another_size_is_refused_with_what_to_do(info: cluster.ClusterInfo) -> None:
    with pytest.raises(DevClusterError, match=f"perfrun dev down --name {info.name}"):
        cluster.up(info.name, 3)


def test_what_ends_is_started_again(info: cluster.ClusterInfo, kubectl: Callable[..., str]) -> None:
    scheduler = processes(f"--kubeconfig=/var/lib/perfrun/dev/{info.name}/kubeconfigs/scheduler")
    assert len(scheduler) == 1
    os.kill(scheduler[0], 9)
    assert finish(kubectl, pod("after", ["echo", "scheduled"])) == "scheduled\n"


def processes(argument: str) -> list[int]:
    found = []
    for directory in os.listdir("/proc"):  # noqa: PTH208
        with contextlib.suppress(ValueError, OSError), open(f"/proc/{int(directory)}/cmdline", "rb") as file:  # noqa: PTH123
            if argument.encode() in file.read().split(b"\0"):
                found.append(int(directory))
    return found


def test_two_clusters_live_side_by_side(info: cluster.ClusterInfo, kubectl: Callable[..., str], web: str) -> None:
    name = f"test-b{os.getpid()}"
    try:
        other = cluster.up(name, 1)
        assert other.server != info.server
        assert cluster.health(name).healthy(1)
        assert cluster.health(info.name).healthy(2)
        # The same pod range would let one cluster's Services lead into the other.
        command = [str(other.kubectl), "--kubeconfig", str(other.kubeconfig), "get", "pods", "-A", "-o", "name"]
        assert subprocess.run(command, check=True, capture_output=True).stdout == b""
    finally:
        cluster.down(name)
    assert cluster.health(info.name).healthy(2)
    assert (
        kubectl("exec", web, "--", "wget", "-qO-", f"http://{web}.{NAMESPACE}/metrics") == "answer_to_everything 42\n"
    )
