"""``perfrun chaos`` on real nodes: the operator is gone amid a fault, even the run, and all of it is had back."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import served
from experiments import applied, assert_nothing_left, awaited, finished, served_system, told
from operators import operator

pytestmark = pytest.mark.cluster

FEATURE = """Feature: Interrupted
  Scenario: One of three nodes fails
    Given a distributed system with 3 nodes
    When 1 node fails
    Then remaining nodes should rebalance within 8 seconds
"""


def target(kind):
    # What the load finds does not matter, so it is one that any machine keeps up with.
    chaos = {"kind": kind, "maxShare": 0.4, "maxDuration": "30s"}
    return served.target("interrupted", load={"rate": 10, "baseline": "5s"}, chaos=chaos)


def failing(run):
    faults = (run.get("status") or {}).get("faults") or ()
    return any(node.get("notReadyAt") or node.get("injectedAt") for fault in faults for node in fault["nodes"])


def chaos(kubeconfig, *arguments):
    agents = {
        "image": "perfrun.dev/base:1", "command": f"{sys.executable} -m perfrun_kernels.fault",
        "runtime-class": "perfrun-host",
    }  # fmt: skip
    flags = [f"--agent-{name}={value}" for name, value in agents.items()] if arguments[0] == "undo" else []
    command = [sys.executable, "-m", "perfrun.cli", "chaos", *arguments, *flags, "--kubeconfig", str(kubeconfig)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def broken(kubeconfig, kubectl, namespace, kind):
    """Have a node fail and the operator die; return the run's name."""
    served_system(kubectl, namespace, 3)
    with operator(kubeconfig, namespace, PERFRUN_LEASE_NAMESPACE=namespace) as working:
        name = applied(kubectl, namespace, FEATURE, target(kind))
        run = awaited(kubectl, namespace, name, lambda run: failing(run) or finished(run), 120)
        assert failing(run), told(run)
        working.kill()
    return run["metadata"]["name"]


@pytest.mark.parametrize(
    "kind", ["isolate", *(pytest.param(kind, marks=pytest.mark.full) for kind in ("freeze", "drain"))]
)
def test_without_an_operator_the_fault_is_undone_and_the_run_ends(kubeconfig, kubectl, namespace, kind):
    name = broken(kubeconfig, kubectl, namespace, kind)
    listed = json.loads(chaos(kubeconfig, "list", "-n", namespace, "-o", "json").stdout)
    assert [(each["run"], each["kind"]) for each in listed["faults"]] == [(f"{namespace}/{name}", kind)]
    answer = chaos(kubeconfig, "undo", f"{namespace}/{name}")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "is proven clean" in answer.stdout
    run = json.loads(kubectl("get", "perfrun", name, "--namespace", namespace, "--output", "json"))
    assert run["status"]["phase"] == "Cancelled", told(run)
    assert_nothing_left(kubectl, namespace)


@pytest.mark.parametrize("kind", ["isolate", pytest.param("drain", marks=pytest.mark.full)])
def test_without_operator_and_run_what_is_left_is_found_and_removed(kubeconfig, kubectl, namespace, kind):
    name = broken(kubeconfig, kubectl, namespace, kind)
    kubectl("delete", "perffeature", "interrupted", "--namespace", namespace, "--cascade=orphan")
    kubectl("delete", "perfrun", name, "--namespace", namespace, "--wait=false")
    gone = json.dumps({"metadata": {"finalizers": None}})
    kubectl("patch", "perfrun", name, "--namespace", namespace, "--type=merge", "--patch", gone)
    answer = chaos(kubeconfig, "undo", "--all")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "RunGone" in answer.stdout
    kubectl("wait", "--for=delete", "jobs", "--all", "--namespace", namespace, "--timeout=30s", check=False)
    assert_nothing_left(kubectl, namespace)


@pytest.mark.full
def test_an_operator_that_works_is_only_watched(kubeconfig, kubectl, namespace):
    served_system(kubectl, namespace, 3)
    with operator(kubeconfig, namespace, PERFRUN_LEASE_NAMESPACE=namespace):
        name = applied(kubectl, namespace, FEATURE, target("isolate"))
        run = awaited(kubectl, namespace, name, lambda run: failing(run) or finished(run), 120)
        answer = chaos(kubeconfig, "undo", f"{namespace}/{run['metadata']['name']}")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert f"left to the operator of lease {namespace}/perfrun" in answer.stdout
    assert_nothing_left(kubectl, namespace)
