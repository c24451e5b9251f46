"""Who is woken by what."""

from __future__ import annotations

from typing import Any

import pytest
from foretold import kept

from perfrun.api.faults import FINALIZER
from perfrun.controller.hub import Hub
from perfrun.controller.telemetry import Telemetry
from perfrun.lifecycle.values import Key, Kind
from perfrun.manifests import labels


class World:
    """A hub with a record of what it does."""

    def __init__(self) -> None:
        self.woken: list[Key] = []
        self.orphans: list[str] = []
        self.telemetry = Telemetry(monotonic=lambda: 0.0)
        self.hub = Hub(self.woken.append, self.orphans.append, self.telemetry)

    def event(self, kind: Kind, name: str, *, gone: bool = False, **fields: Any) -> set[tuple[str, str]]:
        """Tell the hub of an object and return whom it woke."""
        metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "generation": fields.pop("generation", 1)}
        self.woken.clear()
        self.hub.object_event(kind, {"metadata": metadata | fields.pop("metadata", {}), **fields}, gone=gone)
        return {(key.kind, key.name) for key in self.woken}


@pytest.fixture
def world() -> World:
    return World()


def test_a_feature_wakes_itself(world: World) -> None:
    assert world.event("PerfFeature", "f", spec={"targetRef": "t"}) == {("PerfFeature", "f")}


def test_a_run_wakes_itself_and_its_feature_when_its_phase_changes(world: World) -> None:
    def event(name: str, phase: str) -> set[tuple[str, str]]:
        return world.event("PerfRun", name, spec={"featureRef": "f"}, status={"phase": phase})

    assert event("r", "Pending") == {("PerfRun", "r")}
    assert event("r", "Running") == {("PerfRun", "r"), ("PerfFeature", "f")}
    assert event("r", "Running") == {("PerfRun", "r")}
    assert event("r", "Passed") == {("PerfFeature", "f")}
    assert event("seen late", "Running") == {("PerfRun", "seen late"), ("PerfFeature", "f")}


def test_a_target_wakes_whoever_names_it_but_only_when_its_spec_changes(world: World) -> None:
    world.event("PerfFeature", "f", spec={"targetRef": "t"})
    world.event("PerfRun", "r", spec={"targetRef": "t"})
    world.event("PerfFeature", "other", spec={"targetRef": "u"})
    everyone = {("PerfTarget", "t"), ("PerfFeature", "f"), ("PerfRun", "r")}
    assert world.event("PerfTarget", "t") == everyone
    assert world.event("PerfTarget", "t", status={"message": "usable"}) == {("PerfTarget", "t")}
    assert world.event("PerfTarget", "t", generation=2) == everyone
    assert world.event("PerfTarget", "t", gone=True) == everyone - {("PerfTarget", "t")}


def test_a_feature_that_moves_to_another_target_leaves_the_first(world: World) -> None:
    world.event("PerfFeature", "f", spec={"targetRef": "t"})
    world.event("PerfFeature", "f", spec={"targetRef": "u"})
    assert world.event("PerfTarget", "t") == {("PerfTarget", "t")}
    assert ("PerfFeature", "f") in world.event("PerfTarget", "u")


def test_a_finished_run_costs_nothing_unless_it_has_a_time_to_live(world: World) -> None:
    finished = {"phase": "Passed", "verdict": "Pass"}
    assert world.event("PerfRun", "r", spec={"targetRef": "t"}, status=finished) == set()
    assert world.event("PerfTarget", "t") == {("PerfTarget", "t")}
    assert world.event("PerfRun", "s", spec={"ttlAfterFinished": "1h"}, status=finished) == {("PerfRun", "s")}


def test_a_run_that_goes_wakes_its_feature_and_orphans_its_evidence(world: World) -> None:
    world.event("PerfRun", "r", spec={"featureRef": "f"})
    assert world.hub.namespace_of("uid-r") == "ns"
    assert world.event("PerfRun", "r", spec={"featureRef": "f"}, gone=True) == {("PerfFeature", "f")}
    assert world.orphans == ["uid-r"]
    assert world.hub.namespace_of("uid-r") is None


FORETOLD = kept().spec.to_wire()


def test_a_forecast_wakes_itself_until_it_is_over_and_its_target_when_there_is_more_to_keep(world: World) -> None:
    itself, target = ("PerfForecast", "throughput"), ("PerfTarget", "llm")
    assert world.event("PerfForecast", "throughput", spec=FORETOLD) == {itself, target}
    waiting = {"state": "Waiting", "observedGeneration": 1}
    assert world.event("PerfForecast", "throughput", spec=FORETOLD, status=waiting) == {itself}
    for state in ("Scored", "GivenUp"):
        assert world.event("PerfForecast", state, spec=FORETOLD, status={"state": state}) == {target}
    assert world.event("PerfForecast", "throughput", spec=FORETOLD, status={"state": "Scored"}) == {target}
    assert world.event("PerfForecast", "throughput", spec=FORETOLD, status={"state": "Scored"}) == set()
    assert world.event("PerfForecast", "throughput", gone=True) == set()


def test_a_forecast_that_cannot_be_read_gets_its_turn_which_tells_of_it(world: World) -> None:
    assert world.event("PerfForecast", "bad", spec={"targetRef": "llm"}) == {("PerfForecast", "bad")}


def of_run(name: str, namespace: str = "ns") -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": "p", "labels": {labels.RUN_UID: f"uid-{name}"}}}


def test_a_pod_wakes_its_run_wherever_it_is(world: World) -> None:
    world.event("PerfRun", "r", spec={}, status={"phase": "Running"})
    for namespace in ("ns", "perfrun-chaos"):
        world.woken.clear()
        world.hub.pod_event(of_run("r", namespace))
        assert world.woken == [Key("PerfRun", "ns", "r")]


def test_a_pod_of_a_run_that_is_over_or_unknown_wakes_nobody(world: World) -> None:
    world.event("PerfRun", "r", spec={}, status={"phase": "Passed"})
    world.hub.pod_event(of_run("r"))
    world.hub.pod_event(of_run("gone"))
    world.hub.pod_event({"metadata": {"namespace": "ns", "name": "p"}})
    assert world.woken == []


def test_a_run_that_is_deleted_is_driven_until_it_is_gone(world: World) -> None:
    deleting = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [FINALIZER]}
    for phase in ("Running", "Restoring", "Passed"):
        assert world.event("PerfRun", "r", status={"phase": phase}, metadata=deleting) == {("PerfRun", "r")}


def test_features_in_config_maps_are_looked_at_now_and_then(world: World) -> None:
    reference = {"name": "c", "key": "k"}
    world.event("PerfFeature", "inline", spec={"targetRef": "t", "feature": "x"})
    world.event("PerfFeature", "kept", spec={"targetRef": "t", "configMapKeyRef": reference})
    world.event("PerfFeature", "gone", spec={"targetRef": "t", "configMapKeyRef": reference})
    world.event("PerfFeature", "gone", gone=True)
    world.woken.clear()
    world.hub.poll()
    assert world.woken == [Key("PerfFeature", "ns", "kept")]


def exposed(world: World) -> str:
    return world.telemetry.exposition().decode()


def test_the_newest_verdict_of_a_feature_is_the_only_one_shown(world: World) -> None:
    world.event("PerfFeature", "f", status={"verdict": "Pass"})
    world.event("PerfFeature", "f", status={"verdict": "Fail"})
    assert 'perfrun_feature_verdict{feature="f",namespace="ns",verdict="Fail"} 1.0' in exposed(world)
    assert 'verdict="Pass"' not in exposed(world)
    world.event("PerfFeature", "f", gone=True)
    assert 'feature="f"' not in exposed(world)


def test_the_time_from_a_changed_feature_to_its_first_pod_is_measured_once(world: World) -> None:
    world.event("PerfFeature", "f", spec={"targetRef": "t"})
    pod = {"metadata": {"namespace": "ns", "name": "p", "labels": {labels.FEATURE: "f"}}}
    world.hub.pod_event(pod)
    world.hub.pod_event(pod)
    assert "perfrun_feature_to_pod_seconds_count 1.0" in exposed(world)


def test_an_old_feature_seen_at_the_start_is_not_timed(world: World) -> None:
    world.event("PerfFeature", "f", status={"observedGeneration": 1})
    world.hub.pod_event({"metadata": {"namespace": "ns", "name": "p", "labels": {labels.FEATURE: "f"}}})
    assert "perfrun_feature_to_pod_seconds_count 0.0" in exposed(world)


def test_runs_are_counted_by_phase_and_verdict(world: World) -> None:
    world.event("PerfRun", "r", spec={})
    world.event("PerfRun", "s", spec={}, status={"phase": "Failed", "verdict": "Fail"})
    assert world.hub.phases() == {("Pending", ""): 1, ("Failed", "Fail"): 1}
