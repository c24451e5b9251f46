"""Latency spikes on a real node, verbatim: made, found, explained, and undone, whoever dies."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest
import served
from experiments import (
    agents_at_work,
    applied,
    assert_nothing_left,
    awaited,
    finished,
    served_system,
    steps,
    told,
)
from operators import operator
from spiked import journals, kept, picture_of, result_of, slices_of, spike_leftovers, watchers
from test_network import scenario

pytestmark = pytest.mark.cluster

ACTIONS = ("Detect the spike", "Identify the container", "Locate the kernel issue", "Generate trace data")
KINDS = ("quota", "freezer", "hog", "tbf", "nfqueue", "drop")
CALM = {"rate": 100, "baseline": "3s"}


@pytest.fixture
def working(kubeconfig: Path, namespace: str):
    """An operator for this namespace."""
    with operator(kubeconfig, namespace, PERFRUN_LEASE_NAMESPACE=namespace) as it:
        yield it


@pytest.fixture
def judged(kubectl, namespace, working):
    """Serve on one node, and run the scenario against it to its verdict."""

    def run(chaos=None, **spikes):
        served_system(kubectl, namespace, 1)
        chaos = {"maxShare": 0.99, "maxNodes": 1, **(chaos or {})}
        target = served.target("spiky", load=CALM, chaos=chaos, spikes=spikes)
        return awaited(kubectl, namespace, applied(kubectl, namespace, scenario(1), target), finished, 150, working)

    return run


def actions(run):
    """Return the verdicts on the four actions by the words of each."""
    return {action: step for action in ACTIONS for text, step in steps(run).items() if action in text}


def test_every_kind_of_spike_is_found_and_explained(kubectl, namespace, judged, working):
    run = judged(inject=list(KINDS), rounds=2)
    found = actions(run)
    assert found.keys() == set(ACTIONS), told(run)
    for action, step in found.items():
        # Each has a verdict of its own; how long things took is a matter of the machine, that they were timed is not.
        assert step["verdict"] in ("Pass", "Fail", "Inconclusive"), told(run)
        # What never came right has no time.
        assert "value" in step or step["verdict"] == "Fail", (action, told(run))
    made = result_of(working, "s1-spike").tables["injections"]
    right = {name: [row[made.columns.index(name)] for row in made.rows] for name in ("identified", "located", "traced")}
    assert len(made.rows) == 2 * len(KINDS), told(run)
    assert all(right["identified"]), told(run)
    assert all(right["traced"]), told(run)
    # One of them may fall into a moment in which the machine was doing something else as well; it is a Fail then.
    assert sum(right["located"]) >= len(made.rows) - 1, told(run)
    assert (found["Locate the kernel issue"]["verdict"] == "Pass") == all(right["located"]), told(run)
    [fault] = run["status"]["faults"]
    assert (fault["state"], fault["kind"], fault["backend"]) == ("Undone", "spike", "native"), told(run)
    [node] = fault["nodes"]
    assert fault["startsAt"] <= node["injectedAt"] <= node["undoneAt"] <= node["cleanAt"]
    trace = slices_of(kept(working, run, "trace"))
    assert any("spike" in name.lower() for name in trace), trace
    assert "spike" in "".join(picture_of(kept(working, run, "timeline")).itertext()).lower()
    assert spike_leftovers(kubectl) == []
    assert_nothing_left(kubectl, namespace)


def test_an_agent_that_is_killed_amid_an_injection_leaves_nothing(kubectl, namespace, working):
    served_system(kubectl, namespace, 1)
    chaos = {"maxShare": 0.99, "maxNodes": 1}
    # Long enough to be killed within one.
    spikes = {"inject": ["tbf", "freezer"], "rounds": 3, "lasts": "500ms"}
    target = served.target("killed", load=CALM, chaos=chaos, spikes=spikes, pods={"attempts": 1})
    name = applied(kubectl, namespace, scenario(1), target)

    def begun(run):
        return bool((run.get("status") or {}).get("faults"))

    run = awaited(kubectl, namespace, name, begun, 60, working)
    [fault] = run["status"]["faults"]
    deadline = time.monotonic() + 60
    while not journals(kubectl) and time.monotonic() < deadline:
        time.sleep(0.02)
    doomed = [*agents_at_work(run["metadata"]["uid"], fault["id"]), *watching(kubectl)]
    assert doomed
    for process in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    run = awaited(kubectl, namespace, name, finished, 150, working)
    assert run["status"]["phase"] in ("Inconclusive", "Passed", "Failed", "Error"), told(run)
    assert all(each["state"] in ("Undone", "Refused") for each in run["status"]["faults"]), told(run)
    deadline = time.monotonic() + 20
    while spike_leftovers(kubectl) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert spike_leftovers(kubectl) == []
    assert_nothing_left(kubectl, namespace)


def watching(kubectl):
    """Return the processes that watch and inject; who stands guard is to survive them."""
    return [pid for pid, words in watchers(kubectl).items() if "guard" not in words]


@pytest.mark.full
def test_where_faults_are_not_allowed_a_spike_is_only_waited_for(kubectl, namespace, judged):
    run = judged(chaos={"allowed": False}, window="5s")
    assert run["status"]["phase"] != "Error", told(run)
    assert actions(run).keys() == set(ACTIONS)
    assert all(step["facts"].get("injected", 0) == 0 for step in actions(run).values()), told(run)
    assert spike_leftovers(kubectl) == []
    assert_nothing_left(kubectl, namespace)


@pytest.mark.full
def test_a_fault_in_another_container_is_not_laid_to_the_one_that_answers(kubectl, namespace, judged, working):
    """The exporter beside the server is held up: the server goes on answering, and nobody says that it did not."""
    run = judged(inject=["quota", "freezer"], rounds=5, container="exporter")
    assert run["status"]["phase"] != "Error", told(run)
    result = result_of(working, "s1-spike")
    assert result.scalars["injections.done"].value == 10, told(run)
    assert result.scalars["false_alarms"].value == 0, told(run)
    assert actions(run)["Detect the spike"]["verdict"] != "Pass", told(run)
    assert spike_leftovers(kubectl) == []
    assert_nothing_left(kubectl, namespace)
