"""Both features, word for word, on twenty serving nodes, installed and applied as people do it."""

from __future__ import annotations

import pytest
import served
from clusters import development_cluster, runner
from experiments import AGENTS, leftovers, run_of, told

from perfrun.cli.demo import NAMESPACE, follow, serve
from perfrun.cli.devinstall import Tools, install

pytestmark = [pytest.mark.cluster, pytest.mark.full, pytest.mark.timeout(1800)]

SERVING = 20


@pytest.fixture(scope="module")
def many(request):
    """Verdicts on both features on a cluster of 21 nodes: the runs by their features' names, and kubectl."""
    with development_cluster("perfrun-many", SERVING + 1, request.config) as info:
        tools = Tools(info.helm, info.kubectl, info.kubeconfig)
        install(tools)
        features = serve(tools, NAMESPACE, SERVING)
        assert follow(tools, features, 1200, print) == ()
        kubectl = runner(info.kubeconfig)
        assert len(served.ready_nodes(kubectl, NAMESPACE)) == SERVING
        yield {name: run_of(kubectl, NAMESPACE, name) for name in features}, kubectl


def test_every_row_of_fault_tolerance_passes(many):
    run = many[0]["fault-tolerance"]
    assert run["status"]["phase"] == "Passed", told(run)
    assert [len(fault["nodes"]) for fault in run["status"]["faults"]] == [1, 2, 4]
    assert all(node["cleanAt"] for fault in run["status"]["faults"] for node in fault["nodes"]), told(run)


def test_every_row_of_load_balancing_is_judged_or_says_what_this_machine_can_offer(many):
    run = many[0]["load-balancing"]
    assert len(run["status"]["scenarios"]) == 3
    for scenario in run["status"]["scenarios"]:
        assert scenario["verdict"] == "Pass" or scenario["reason"] == "GeneratorSaturated", told(run)


def test_nothing_is_left(many):
    kubectl = many[1]
    assert kubectl("get", "pods", "--namespace", AGENTS, "--output", "name") == ""
    assert not leftovers(kubectl, NAMESPACE)
