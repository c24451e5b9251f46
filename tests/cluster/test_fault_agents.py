"""Fault agents as pods on real nodes: the cluster notices, the kernel ends it, and undo proves that nothing is left."""

import contextlib
import datetime as dt
import itertools
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
from experiments import agents_at_work

from perfrun.manifests.agents import AgentOrder, AgentSettings, agent_pod
from perfrun.manifests.names import agent_name
from perfrun_kernels.contract import FaultReport

pytestmark = pytest.mark.cluster

RUN_UID = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
LEAD = dt.timedelta(seconds=12)
FAULT = dt.timedelta(seconds=15)
SLACK = 1.0
KUBELET = 10250


class Agents:
    """Orders agents for one node, and looks at what becomes of the node."""

    def __init__(self, kubectl, namespace, node):
        self.kubectl, self.namespace, self.node = kubectl, namespace, node
        self.settings = AgentSettings(
            namespace=namespace, image="perfrun.dev/base:1", runtime_class="perfrun-host",
            command=(str(Path(sys.prefix) / "bin" / "python"), "-m", "perfrun_kernels.fault"),
        )  # fmt: skip
        self._count = itertools.count(1)

    def start(self, kind, lead=LEAD):
        starts_at = dt.datetime.now(dt.UTC) + lead
        name = agent_name(RUN_UID, self.namespace, self.node, kind, next(self._count))
        order = AgentOrder(
            name, self.namespace, "run-1", RUN_UID, self.namespace, self.node, kind, starts_at, starts_at + FAULT
        )
        self.kubectl("create", "--filename", "-", input=json.dumps(agent_pod(order, self.settings)))
        return order

    def pod(self, order):
        return json.loads(self.kubectl("get", "pod", order.name, "--namespace", self.namespace, "--output", "json"))

    def wait_until_running(self, order):
        self.kubectl(
            "wait", "pod", order.name, "--namespace", self.namespace, "--for=jsonpath={.status.phase}=Running",
            "--timeout=30s",
        )  # fmt: skip
        assert dt.datetime.now(dt.UTC) < order.starts_at

    def report(self, order, seconds=60):
        """Wait until the pod has ended, and read the report as the operator does."""
        deadline = time.monotonic() + seconds
        while (status := self.pod(order)["status"])["phase"] not in ("Succeeded", "Failed"):
            assert time.monotonic() < deadline, status
            time.sleep(0.3)
        ended = status["containerStatuses"][0]["state"]["terminated"]
        return FaultReport.from_json(ended["message"])

    def ready(self):
        [found] = [each for each in self._node()["status"]["conditions"] if each["type"] == "Ready"]
        return found["status"] == "True"

    def address(self):
        [found] = [each["address"] for each in self._node()["status"]["addresses"] if each["type"] == "InternalIP"]
        return found

    def _node(self):
        return json.loads(self.kubectl("get", "node", self.node, "--output", "json"))

    def undo(self):
        return self.report(self.start("undo"))

    def wait(self, moment):
        time.sleep(max(0, (moment - dt.datetime.now(dt.UTC)).total_seconds()))

    def wait_until_lost(self, deadline):
        while self.ready():
            assert dt.datetime.now(dt.UTC) < deadline, f"{self.node} is still ready"
            time.sleep(0.2)

    def wait_until_back(self, deadline):
        while not self.ready():
            assert dt.datetime.now(dt.UTC) < deadline, f"{self.node} is still not ready"
            time.sleep(0.2)


@pytest.fixture
def agents(kubectl, namespace):
    """Agents for the last node, to which nothing but its own daemons is bound."""
    names = json.loads(kubectl("get", "nodes", "--output", "json"))["items"]
    made = Agents(kubectl, namespace, max(each["metadata"]["name"] for each in names))
    yield made
    made.wait_until_back(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=60))


def reachable(address):
    with contextlib.suppress(OSError), socket.create_connection((address, KUBELET), timeout=0.5):
        return True
    return False


def processes_of(order):
    return agents_at_work(RUN_UID, order.fault)


def kill(order):
    for process in processes_of(order):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def assert_lasted_as_ordered(order, report):
    assert (report.state, report.reason, report.message) == ("Undone", "", "")
    assert report.injected_at == pytest.approx(order.starts_at.timestamp(), abs=SLACK)
    assert report.undone_at == pytest.approx(order.ends_at.timestamp(), abs=SLACK)


@pytest.mark.parametrize("kind", [pytest.param("isolate", marks=pytest.mark.full), "freeze"])
def test_a_node_is_lost_for_as_long_as_ordered_and_then_clean(agents, kind):
    address = agents.address()
    order = agents.start(kind)
    agents.wait_until_running(order)
    assert agents.ready()
    assert reachable(address)
    agents.wait(order.starts_at + dt.timedelta(seconds=SLACK))
    # What stands still still takes connections, for the kernel does that.
    assert reachable(address) is (kind == "freeze")
    agents.wait_until_lost(order.ends_at)
    agents.wait(order.ends_at + dt.timedelta(seconds=SLACK))
    assert reachable(address)
    agents.wait_until_back(order.ends_at + dt.timedelta(seconds=40))
    assert_lasted_as_ordered(order, agents.report(order))
    undone = agents.undo()
    assert (undone.state, undone.message) == ("Clean", "nothing was found")
    assert "kubelet" in undone.proof
    assert "containerd" in undone.proof


@pytest.mark.full
def test_an_isolation_ends_on_time_although_the_agent_is_dead(agents):
    address = agents.address()
    order = agents.start("isolate")
    agents.wait_until_running(order)
    agents.wait(order.starts_at + dt.timedelta(seconds=2))
    assert processes_of(order)
    kill(order)
    agents.wait(order.ends_at - dt.timedelta(seconds=2))
    assert processes_of(order) == []
    assert not reachable(address)
    agents.wait(order.ends_at + dt.timedelta(seconds=SLACK))
    assert reachable(address)
    agents.wait_until_back(order.ends_at + dt.timedelta(seconds=40))
    undone = agents.undo()
    assert undone.state == "Clean"
    assert "was removed, which dropped packets of no interface" in undone.message


def test_a_freeze_ends_at_once_when_the_agent_dies(agents):
    order = agents.start("freeze")
    agents.wait_until_running(order)
    agents.wait_until_lost(order.ends_at)
    kill(order)
    # Long before it would have ended by itself.
    agents.wait_until_back(order.ends_at - dt.timedelta(seconds=1))
    assert agents.undo().state == "Clean"


@pytest.mark.parametrize("kind", ["isolate", "freeze"])
def test_an_agent_whose_pod_is_deleted_ends_long_before_it_would_be_killed(agents, kind):
    order = agents.start(kind, lead=dt.timedelta(seconds=60))
    agents.wait_until_running(order)
    agents.kubectl("delete", "pod", order.name, "--namespace", agents.namespace, "--wait=true", "--timeout=14s")
    assert agents.undo().state == "Clean"
