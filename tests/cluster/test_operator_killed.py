"""The operator is killed with SIGKILL between two of its writes, at every one of them, and the run goes on."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import pytest
import tiny
from operators import Operator, Relay

pytestmark = pytest.mark.cluster


def story(kubeconfig: Path, namespace: str, kubectl, kill_at: int, *, before: bool) -> tuple[dict, list[str]]:
    """Run one feature to its end while the operator dies at one of its writes; return the run and the writes."""
    with tempfile.TemporaryDirectory(prefix="perfrun-test-") as folder:
        relay = Relay(kubeconfig, kill_at=kill_at, before=before)
        with relay:
            operator = Operator(
                relay.client_config(Path(folder)), Path(folder),
                environment={"PERFRUN_NAMESPACES": namespace, "PERFRUN_LEASE_NAMESPACE": namespace},
            )  # fmt: skip
            relay.victim = operator
            operator.start()
            try:
                operator.wait_ready()
                kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(tiny.target("tiny")))
                kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(tiny.feature("tiny")))
                return finished(operator, namespace, kubectl), relay.writes
            finally:
                operator.stop()


def finished(operator: Operator, namespace: str, kubectl) -> dict:
    """Start the operator again whenever it is found dead, until the feature has its verdict."""
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline:
        assert operator.process is not None
        if operator.process.poll() is not None:
            operator.start()
            operator.wait_ready()
        found = json.loads(kubectl("get", "-n", namespace, "perffeature", "tiny", "-o", "json"))
        if (found.get("status") or {}).get("lastRun"):
            runs = json.loads(kubectl("get", "-n", namespace, "perfruns", "-o", "json"))["items"]
            assert len(runs) == 1, [run["metadata"]["name"] for run in runs]
            return runs[0]
        time.sleep(0.3)
    raise AssertionError(f"no verdict in time; the operator said:\n{operator.log()[-4000:]}")


def check(run: dict, namespace: str, kubectl) -> None:
    assert run["status"]["phase"] == "Passed", run["status"]["message"]
    assert [stage["attempt"] for stage in run["status"]["stages"]] == [1]
    pods = json.loads(kubectl("get", "-n", namespace, "pods", "-o", "json"))["items"]
    assert len(pods) == 1, [pod["metadata"]["name"] for pod in pods]


WRITES = 8
"""Writes that lead from a new feature to its verdict: statuses of target, feature and run, one run, one pod."""


def test_the_writes_of_a_whole_run_are_as_few_as_the_matrix_below_expects(kubeconfig, namespace, kubectl):
    run, writes = story(kubeconfig, namespace, kubectl, 0, before=False)
    check(run, namespace, kubectl)
    assert len(writes) >= WRITES - 2, writes
    assert sum(write.endswith("/pods") for write in writes) == 1, writes
    assert sum(write.endswith("/perfruns") for write in writes) == 1, writes


@pytest.mark.parametrize("before", [True, False], ids=["unheard", "unanswered"])
@pytest.mark.parametrize(
    "kill_at", [pytest.param(n, marks=[] if n in (3, 5) else [pytest.mark.full]) for n in range(1, WRITES + 1)]
)
def test_killed_at_a_write_the_run_goes_on_to_the_same_verdict(kubeconfig, namespace, kubectl, kill_at, before):
    run, writes = story(kubeconfig, namespace, kubectl, kill_at, before=before)
    assert len(writes) >= kill_at, writes
    check(run, namespace, kubectl)
