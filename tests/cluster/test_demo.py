"""The main job as a person does it: the feature file, word for word, from kubectl apply to a measured verdict."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from perfrun.cli.demo import apply, follow, serve
from perfrun.cli.devinstall import CHECKOUT, make_namespace

pytestmark = pytest.mark.cluster

LLM = "llm-sampling-performance"
NAMESPACE = "demo-test"
CHART_NODES = 3
KERNELS = "gpu-kernel-optimization"


@pytest.fixture
def verdicts(operator_chart, tmp_path):
    """Features that only measure and the platform's own, applied and judged; small decoders keep it short."""
    patch = tmp_path / "patch.yaml"
    config = {"hiddenSize": 32, "intermediateSize": 64, "layers": 1, "heads": 2, "kvHeads": 1, "vocabSize": 256}
    llm = {"budget": "20s", "models": {size: {"config": config} for size in ("small", "medium", "large")}}
    short = {"memory": {"soak": "20s"}, "lowPrecision": {"items": 200}}
    patch.write_text(json.dumps({"spec": {"llm": llm, **short}}))
    names = apply(operator_chart, NAMESPACE, (patch,))
    deadline = time.monotonic() + 480
    while time.monotonic() < deadline:
        found = {
            each["metadata"]["name"]: each for each in operator_chart.get("perffeatures", "--namespace", NAMESPACE)
        }
        if all((found[name].get("status") or {}).get("lastRun") for name in names):
            yield found
            operator_chart.kubectl("delete", "perffeatures", "--all", "--namespace", NAMESPACE)
            return
        time.sleep(0.5)
    raise AssertionError({name: each.get("status") for name, each in found.items()})


def report(tools, name, form="json"):
    command = [sys.executable, "-m", "perfrun.cli", "report", name, "--namespace", NAMESPACE, "--format", form]
    return subprocess.run(
        [*command, "--kubeconfig", tools.kubeconfig], capture_output=True, text=True, check=True
    ).stdout


def gate(tools, name):
    command = [sys.executable, "-m", "perfrun.cli", "gate", name, "--namespace", NAMESPACE, "--timeout", "5m"]
    return subprocess.run([*command, "--kubeconfig", tools.kubeconfig], capture_output=True, text=True, check=False)


def test_all_features_get_the_verdicts_that_this_machine_can_give(verdicts, operator_chart):
    llm = json.loads(report(operator_chart, LLM))["status"]
    assert len(llm["scenarios"]) == 3
    for scenario in llm["scenarios"]:
        latency, throughput, memory = [step for step in scenario["steps"] if step["keyword"] == "Then"]
        assert memory["verdict"] == "Inconclusive"
        assert "GPU" in memory["message"]
        # Measured, or said why it did not settle; a scenario without GPU memory is never a pass.
        for step in (latency, throughput):
            assert step.get("value") is not None or step["verdict"] == "Inconclusive"
            assert step["facts"]["device"] == "cpu"
            assert step["facts"]["parameters"] < 1_000_000
        assert scenario["verdict"] in ("Inconclusive", "Fail")
    assert any(step.get("value") for scenario in llm["scenarios"] for step in scenario["steps"])
    kernels = json.loads(report(operator_chart, KERNELS))["status"]
    size, speed, accuracy, fragmentation, hits, leak = [
        step for scenario in kernels["scenarios"] for step in scenario["steps"] if step["keyword"] == "Then"
    ]
    assert size["verdict"] == "Pass", size
    assert [each["reason"] for each in (speed, fragmentation)] == ["NoGPU", "NoGPU"]
    for step in (accuracy, hits, leak):
        assert step.get("value") is not None, step
    assert leak["verdict"] == "Inconclusive"
    slo = json.loads(report(operator_chart, "slo"))["status"]
    assert slo["verdict"] == "Pass", slo
    for step in slo["scenarios"][0]["steps"]:
        assert step["keyword"] != "Then" or step["source"]["query"]
    passed = gate(operator_chart, "slo")
    assert passed.returncode == 0, passed.stderr
    assert "API server" in report(operator_chart, "slo", "text")
    assert report(operator_chart, "slo", "html").startswith("<!doctype html>")
    printed = operator_chart.kubectl("get", "perffeatures,perfruns,perftargets", "--namespace", NAMESPACE)
    assert "1/1" in printed
    pods = operator_chart.get("pods", "--namespace", NAMESPACE)
    assert all(pod["status"]["phase"] in ("Succeeded", "Failed", "Running", "Pending") for pod in pods)


def test_a_gate_ends_when_what_it_waits_for_is_deleted(operator_chart):
    text = (CHECKOUT / "examples" / "slo.feature").read_text()
    manifest = {
        "apiVersion": "perfrun.dev/v1alpha1", "kind": "PerfFeature", "metadata": {"name": "waits"},
        "spec": {"targetRef": "default", "suspend": True, "feature": text},
    }  # fmt: skip
    make_namespace(operator_chart, NAMESPACE)
    target = str(CHECKOUT / "examples" / "target.yaml")
    operator_chart.kubectl("apply", "--namespace", NAMESPACE, "--filename", target)
    operator_chart.kubectl("apply", "--namespace", NAMESPACE, "--filename", "-", stdin=json.dumps(manifest))
    command = [sys.executable, "-m", "perfrun.cli", "gate", "perffeature/waits", "--namespace", NAMESPACE]
    process = subprocess.Popen(
        [*command, "--kubeconfig", operator_chart.kubeconfig], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stderr.readline()
    operator_chart.kubectl("delete", "perffeatures", "--all", "--namespace", NAMESPACE)
    out, _ = process.communicate()
    assert process.returncode == 3
    assert "deleted" in out


@pytest.mark.full
def test_what_is_served_gets_verdicts_and_rows_without_enough_nodes_say_so(operator_chart):
    """The demo's second half, on a cluster too small for any row of fault tolerance."""
    names = serve(operator_chart, NAMESPACE, CHART_NODES)
    assert follow(operator_chart, names, 540, lambda _: None, NAMESPACE) == ()
    load = json.loads(report(operator_chart, "load-balancing"))["status"]
    light, *_ = load["scenarios"]
    assert all(step.get("value") is not None for step in light["steps"] if step["keyword"] == "Then"), light
    faults = json.loads(report(operator_chart, "fault-tolerance"))["status"]
    assert faults["verdict"] == "Inconclusive"
    assert [each["reason"] for each in faults["scenarios"]] == ["NotEnoughReplicas"] * 3
    assert not faults.get("faults")
    network = json.loads(report(operator_chart, "network-performance"))["status"]
    assert all(scenario["reason"] != "NotImplemented" for scenario in network["scenarios"]), network
    [deployment] = operator_chart.get("deployment", "served", "--namespace", NAMESPACE)
    assert deployment["spec"]["replicas"] == CHART_NODES
