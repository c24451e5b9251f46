"""Whoever dies, and whenever: every node comes back, nothing is left, and the verdict is right.

Victims are ended with SIGKILL before the fault begins, while it lasts, and after it has ended but before that is
proven. The system itself withstands the fault in all of them, so a Fail would be wrong; and what could not be told
for the death of a witness is said to be so.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

import pytest
import served
from experiments import (
    agents_at_work,
    applied,
    assert_nothing_left,
    awaited,
    control_plane,
    fault_is,
    finished,
    kubelets,
    leftovers,
    processes,
    served_system,
    told,
)
from operators import operator

pytestmark = pytest.mark.cluster

FEATURE = """Feature: Short
  Scenario: One of three nodes fails
    Given a distributed system with 3 nodes
    When 1 node fails
    Then remaining nodes should rebalance within 16 seconds
    And throughput should remain above 50% of normal
"""
"""Nodes are NotReady after four seconds and requests that waited are let go of within four more: the limit is twice
that, for how soon a busy machine rebalances is not what these tests are of.
"""

MOMENTS = ("before", "during", "after")
VICTIMS = ("operator", "agent", "kubelet", "apiserver")
QUICK = {("operator", "during"), ("apiserver", "during")}
"""What `make test` has time for."""


def matrix():
    for kind in ("isolate", "freeze"):
        for victim in VICTIMS:
            for moment in MOMENTS:
                quick = kind == "isolate" and (victim, moment) in QUICK
                yield pytest.param(
                    kind, victim, moment, marks=() if quick else pytest.mark.full, id=f"{kind}-{victim}-{moment}"
                )


def target(kind):
    return served.target(
        "short",
        load={"rate": 200, "baseline": "5s", "dropResolution": 0.01},
        chaos={"kind": kind, "maxShare": 0.4, "maxDuration": "30s"},
    )


def begun(moment):
    """Return a question whether the moment has come."""
    if moment == "before":
        return fault_is("Intended")
    if moment == "during":
        return lambda run: any(
            node.get("notReadyAt") or node.get("injectedAt")
            for fault in (run.get("status") or {}).get("faults") or ()
            for node in fault["nodes"]
        )
    return lambda run: (
        any(node.get("undoneAt") for fault in (run.get("status") or {}).get("faults") or () for node in fault["nodes"])
        or finished(run)
    )


def kill(victim, run, operator, kubectl):
    """End the victim of a run's fault, and no other cluster's."""
    [fault] = run["status"]["faults"]
    if victim == "operator":
        operator.kill()
        # Long enough for things to happen that nobody sees.
        time.sleep(5)
        return
    if victim == "kubelet":
        doomed = [kubelets(kubectl)[fault["nodes"][0]["node"]]]
    elif victim == "apiserver":
        address = f"--advertise-address={control_plane(kubectl)}"
        doomed = processes(lambda words: words[0].endswith("/kube-apiserver") and address in words)
    else:
        doomed = agents_at_work(run["metadata"]["uid"], fault["id"])
    for process in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


@pytest.mark.parametrize(("kind", "victim", "moment"), list(matrix()))
def test_nothing_is_left_and_the_verdict_is_right(kubeconfig, kubectl, namespace, kind, victim, moment):
    served_system(kubectl, namespace, 3)
    with operator(kubeconfig, namespace, PERFRUN_LEASE_NAMESPACE=namespace) as working:
        name = applied(kubectl, namespace, FEATURE, target(kind))
        run = awaited(kubectl, namespace, name, begun(moment), 120, working)
        kill(victim, run, working, kubectl)
        run = awaited(kubectl, namespace, name, finished, 240, working)
    assert run["status"]["phase"] in ("Passed", "Inconclusive"), told(run)
    if victim in ("operator", "apiserver") and run["status"]["reason"] != "GeneratorSaturated":
        # They only watch: the experiment itself goes on without them, or is begun anew.
        assert run["status"]["phase"] == "Passed", told(run)
    assert all(fault["state"] in ("Undone", "Refused") for fault in run["status"]["faults"]), told(run)
    deadline = time.monotonic() + 30
    while leftovers(kubectl, namespace) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert_nothing_left(kubectl, namespace)


@pytest.mark.full
@pytest.mark.parametrize("kind", ["isolate", "drain"])
def test_a_namespace_that_is_deleted_amid_a_fault_goes_once_all_is_undone(kubeconfig, kubectl, kind):
    name = f"test-doomed-{kind}"
    kubectl("create", "namespace", name)
    served_system(kubectl, name, 3)
    with operator(kubeconfig, name, PERFRUN_LEASE_NAMESPACE="default") as working:
        feature = applied(kubectl, name, FEATURE, target(kind))
        awaited(kubectl, name, feature, begun("during"), 120, working)
        kubectl("delete", "namespace", name, "--wait=false")
        kubectl("wait", f"namespace/{name}", "--for=delete", "--timeout=120s")
    deadline = time.monotonic() + 30
    while leftovers(kubectl, name) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert_nothing_left(kubectl, name)
