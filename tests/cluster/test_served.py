"""The served system does what targets rely on: it names itself, writes ids down, and ends without dropping any."""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import served
import yaml

from perfrun.api.service import RequestLog
from perfrun.api.target import TargetSpec

pytestmark = pytest.mark.cluster

NODES = 3


def ask(address: str, path: str, identifier: str = "", body: bytes | None = None) -> http.client.HTTPResponse:
    """Send one request over a connection of its own and return the answer, read to its end."""
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        headers = {"X-Request-Id": identifier} if identifier else {}
        connection.request("POST" if body is not None else "GET", path, body, headers)
        answer = connection.getresponse()
        answer.read()
    finally:
        connection.close()
    return answer


def address_of(kubectl: Callable[..., str], namespace: str) -> str:
    return str(json.loads(kubectl("get", "service", "served", "-n", namespace, "-o", "json"))["spec"]["clusterIP"])


@pytest.fixture
def address(kubectl: Callable[..., str], namespace: str) -> Iterator[str]:
    nodes = served.serve(kubectl, namespace, served.Variant(NODES))
    assert len(set(nodes)) == NODES
    yield address_of(kubectl, namespace)
    kubectl("delete", "deployment", "served", "-n", namespace, "--wait=false")


def test_requests_of_every_size_are_answered_by_named_pods_and_written_down(
    kubectl: Callable[..., str], namespace: str, address: str
) -> None:
    sizes = TargetSpec.model_validate(served.target()["spec"]).service
    assert sizes is not None
    asked: Counter[str] = Counter()
    expected = set()
    for number in range(60):
        for name, size in sizes.sizes.items():
            identifier = f"t-{name}-{number}"
            answer = ask(address, size.path, identifier, bytes(size.body_bytes) if size.method == "POST" else None)
            assert answer.status == 200
            asked[str(answer.getheader("X-Served-By"))] += 1
            expected.add(identifier)
        assert ask(address, "/nothing", f"t-missing-{number}").status == 404
        assert ask(address, "/small").status == 200
    pods = json.loads(kubectl("get", "pods", "-n", namespace, "-l", "app.kubernetes.io/name=served", "-o", "json"))
    names = {pod["metadata"]["name"] for pod in pods["items"]}
    assert asked.keys() == names, "180 connections at random miss one of three pods once in 10^31 times"
    time.sleep(0.5)
    good = re.compile(RequestLog(container="nginx").good)
    lines = [line for name in names for line in kubectl("logs", name, "-n", namespace, "-c", "nginx").splitlines()]
    logged = [found["id"] for line in lines if (found := good.search(line))]
    assert Counter(logged) == Counter(expected)
    assert sum(line.startswith("t-missing-") for line in lines) == 60


def test_a_restart_of_all_pods_drops_no_request(kubectl: Callable[..., str], namespace: str, address: str) -> None:
    over, failed, answered = threading.Event(), [], []

    def client(number: int) -> None:
        while not over.is_set():
            try:
                answered.append(ask(address, "/small", f"r-{number}-{len(answered)}").getheader("X-Served-By"))
            except (OSError, http.client.HTTPException) as error:
                failed.append(repr(error))
            time.sleep(0.005)

    clients = [threading.Thread(target=client, args=(number,)) for number in range(4)]
    for each in clients:
        each.start()
    try:
        kubectl("rollout", "restart", "deployment/served", "-n", namespace)
        kubectl("rollout", "status", "deployment/served", "-n", namespace, "--timeout", "90s")
    finally:
        over.set()
        for each in clients:
            each.join()
    assert failed == []
    assert len(set(answered)) >= 2 * NODES - 1, f"answers came only from {set(answered)}"


def test_variants_drop_and_skew_as_tests_of_verdicts_need_it(kubectl: Callable[..., str], namespace: str) -> None:
    served.serve(kubectl, namespace, served.Variant(NODES, sticky=True, dropped=0.1))
    address = address_of(kubectl, namespace)
    by, dropped = Counter(), []
    for number in range(300):
        try:
            by[ask(address, "/small", f"d-{number}-0").getheader("X-Served-By")] += 1
        except http.client.RemoteDisconnected:
            dropped.append(number)
    assert len(by) == 1, "one client's connections all go to one pod"
    assert 10 <= len(dropped) <= 60, "0.1 of 300"
    for number in dropped:
        with pytest.raises(http.client.RemoteDisconnected):
            ask(address, "/small", f"d-{number}-1")


def test_the_example_allows_just_the_faults_that_the_feature_names() -> None:
    chaos = TargetSpec.model_validate(served.target()["spec"]).chaos
    feature = next(
        each["spec"]["feature"]
        for each in yaml.safe_load_all((served.EXAMPLES / "served-features.yaml").read_text())
        if each["metadata"]["name"] == "fault-tolerance"
    )
    rows = [tuple(map(int, re.findall(r"\d+", line)[:2])) for line in feature.splitlines() if re.match(r"\W+\d", line)]
    assert rows == [(5, 1), (10, 2), (20, 4)]
    for nodes, failures in rows:
        assert failures <= chaos.max_nodes
        assert failures / nodes <= chaos.max_share
