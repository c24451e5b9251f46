"""A soak outlives its pod and its operator: what was handed in counts, and the rest is done by another."""

from __future__ import annotations

import datetime as dt
import json
import time

import pytest
import tiny
from experiments import applied, awaited, finished, steps, told
from operators import Operator, operator

pytestmark = pytest.mark.cluster

FEATURE = """Feature: Soak
  Scenario: An active pipeline
    Given an active inference pipeline
    When processing multiple batches concurrently
    Then cache hit rate should exceed 50%
    And there should be no memory leaks over 24 hours
"""
SOAK_SECONDS = 60.0
WORK = {
    "soak": "60s", "batches": 2, "batchSize": 2, "prefixTokens": 64, "prefixes": 2, "uniqueTokens": 8, "numTokens": 4,
    "blocks": 256,
}  # fmt: skip


def checkpoint(working: Operator) -> bytes | None:
    """Return what the first attempt has handed in so far."""
    found = list((working.state / "artifacts").glob("runs/*/s1-memory/1/checkpoint.json"))
    return found[0].read_bytes() if found else None


def has_moved_on(working: Operator, seconds: float = 120) -> dict:
    """Wait for the second checkpoint and return it."""
    first, deadline = None, time.monotonic() + seconds
    while time.monotonic() < deadline:
        now = checkpoint(working)
        if first is not None and now not in (None, first):
            return json.loads(now)
        first = first or now
        time.sleep(0.5)
    raise AssertionError(f"no two checkpoints in time; the operator said:\n{working.log()[-3000:]}")


def test_a_soak_outlives_its_pod_and_its_operator(kubeconfig, kubectl, namespace):
    target = tiny.target("soak", memory=WORK, pods={"attempts": 3})
    with operator(kubeconfig, namespace, PERFRUN_LEASE_NAMESPACE=namespace) as working:
        name = applied(kubectl, namespace, FEATURE, target)
        had = has_moved_on(working)
        working.kill()
        kubectl("delete", "pod", "-n", namespace, "-l", "perfrun.dev/stage=s1-memory")
        working.start()
        working.wait_ready()
        run = awaited(kubectl, namespace, name, finished, 240, working)
    [stage] = run["status"]["stages"]
    assert (stage["state"], stage["attempt"]) == ("Done", 2), told(run)
    assert "s1-memory.checkpoint-1" in {each["name"] for each in run["status"]["artifacts"]}
    hits = steps(run)["cache hit rate should exceed 50%"]
    assert hits["verdict"] == "Pass", told(run)
    assert hits["facts"]["attempts"] == 2
    # The second attempt did what the first had left: both together are one soak, but for what was not handed in.
    spent = had["finished"] - had["started"]
    begun, ended = (dt.datetime.fromisoformat(stage[name]) for name in ("startedAt", "finishedAt"))
    whole = spent + (ended - begun).total_seconds()
    assert SOAK_SECONDS - 1 < whole < 1.5 * SOAK_SECONDS
