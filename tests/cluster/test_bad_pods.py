"""Pods that go wrong on a real cluster: each ends with a clear reason, and nothing is left running."""

from __future__ import annotations

import json
import sys
import time

import pytest
import tiny
from operators import operator

pytestmark = pytest.mark.cluster

PYTHON = [sys.executable, "-c"]
CASES = {
    "image-not-there": (
        {"image": "127.0.0.1:1/nothing:1", "startTimeout": "10s", "attempts": 1},
        "Inconclusive", "ImagePullFailed", "127.0.0.1:1/nothing:1",
    ),
    "never-fits": (
        {"resources": {"requests": {"cpu": "1000"}}, "startTimeout": "6s", "attempts": 1},
        "Inconclusive", "Unschedulable", "Insufficient cpu",
    ),
    "refused": (
        {
            "resources": {"requests": {"memory": "8Gi"}, "limits": {"memory": "1Gi"}},
            "startTimeout": "8s", "attempts": 1,
        },
        "Inconclusive", "PodRefused", "limit",
    ),
    "out-of-memory": (
        {
            "command": [*PYTHON, "b = []\nwhile True: b.append(bytearray(b'x' * (1 << 24)))"],
            "resources": {"limits": {"memory": "64Mi"}},
        },
        "Inconclusive", "OOMKilled", "memory limit",
    ),
    "nonsense": ({"command": [*PYTHON, "print('hello, world')"]}, "Error", "NoResult", "benchmark image"),
    "crash": ({"command": [*PYTHON, "raise SystemExit('out of luck')"]}, "Error", "PodFailed", "out of luck"),
    "hanging": ({"command": [*PYTHON, "import time; time.sleep(3600)"]}, "Inconclusive", "TimedOut", "timeout of 12s"),
}  # fmt: skip


def manifest(name: str, pods: dict, timeout: str) -> dict:
    target = tiny.target(name, pods=pods)
    feature = tiny.feature(name, retry={"limit": 0}, timeout=timeout)
    return {"apiVersion": "v1", "kind": "List", "items": [target, feature]}


def verdicts(kubectl, namespace: str, count: int) -> dict[str, dict]:
    deadline = time.monotonic() + 150
    while True:
        runs = json.loads(kubectl("get", "-n", namespace, "perfruns", "-o", "json"))["items"]
        finished = {
            run["spec"]["featureRef"]: run["status"] for run in runs if (run.get("status") or {}).get("verdict")
        }
        if len(finished) == count:
            return finished
        assert time.monotonic() < deadline, f"only {sorted(finished)} got a verdict"
        time.sleep(0.5)


def test_each_gets_a_verdict_with_its_reason_and_leaves_no_pod_running(kubeconfig, namespace, kubectl):
    with operator(kubeconfig, namespace, PERFRUN_LEASE_NAMESPACE=namespace):
        for name, (pods, *_) in CASES.items():
            timeout = "12s" if name == "hanging" else "1h"
            kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(manifest(name, pods, timeout)))
        found = verdicts(kubectl, namespace, len(CASES))
    told = {name: (status["verdict"], status["reason"]) for name, status in found.items()}
    assert told == {name: (verdict, reason) for name, (_, verdict, reason, _) in CASES.items()}, {
        name: status["message"] for name, status in found.items()
    }
    for name, (*_, words) in CASES.items():
        everything = json.dumps(found[name])
        assert words in everything, (name, found[name]["message"])
    pods = json.loads(kubectl("get", "-n", namespace, "pods", "-o", "json"))["items"]
    running = [
        pod["metadata"]["name"] for pod in pods
        if pod["status"]["phase"] in ("Pending", "Running") and "deletionTimestamp" not in pod["metadata"]
    ]  # fmt: skip
    assert running == []
