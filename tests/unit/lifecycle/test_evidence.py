"""What a scenario is judged on: of what went along with a load, all that is known of the load too."""

from __future__ import annotations

import base64
import datetime as dt

import pytest

from perfrun.api.faults import FaultStatus
from perfrun.api.plan import Stage
from perfrun.api.run import ArtifactLink, RunStatus, StageStatus, TimeWindow
from perfrun.capabilities.base import FoundPeak, QueryAnswer
from perfrun.lifecycle.evidence import by_stage, links, record
from perfrun.lifecycle.values import HandedIn, Missing, RunObservation, Store
from perfrun_kernels.contract import Attachment, Result

NOON = dt.datetime(2026, 11, 25, 12, 0, tzinfo=dt.UTC)
PEAK = FoundPeak(800.0, "800/s was answered well", proven=True)
SPIKE = FaultStatus(
    id="s1-spike", kind="spike", backend="native", seed=1, nodes=(), state="Undone", starts_at=NOON, ends_at=NOON
)  # fmt: skip
STAGES = (
    Stage(id="s1-peak", scenario=0, kind="load", parameters={"schedule": []}),
    Stage(id="s1-load", scenario=0, kind="load", rate_of="s1-peak"),
    Stage(id="s1-server", scenario=0, kind="pod", alongside="s1-load"),
    Stage(id="s1-other", scenario=0, kind="pod", alongside="s1-load", peer="s1-server"),
    Stage(id="s1-spike", scenario=0, kind="fault", alongside="s1-load", parameters={"kind": "spike"}),
)
PICTURE = Attachment("image/svg+xml", base64.b64encode(b"<svg/>").decode())


@pytest.fixture(autouse=True)
def asked(monkeypatch) -> list[object]:
    shown: list[object] = []

    def found(shards, parameters):
        shown.append((shards, parameters))
        return PEAK

    monkeypatch.setattr("perfrun.lifecycle.evidence.found", found)
    return shown


def result(stage: str, **changes) -> Result:
    return Result(run="r", stage=stage, attempt=1, outcome="Completed", started=1.0, finished=2.0, **changes)


def handed_in(name: str, what: Result | Missing) -> HandedIn:
    return HandedIn(ArtifactLink(name=name, url=f"file:///{name}", digest="sha256:0", bytes=1), what)


def world(
    results: dict[str, Result | Missing] | None = None, shards: tuple[str, ...] = ("s1-peak", "s1-load"), **states
) -> tuple[RunStatus, RunObservation]:
    """Return a run whose stages are Done, but for those that ``states`` names (``other=...``), and what is seen."""
    stages = tuple(
        states.get(each.id[3:]) or StageStatus(id=each.id, state="Done", attempt=1, pod=f"pod-{each.id}")
        for each in STAGES
    )
    stages = tuple(each.replace(rate=800.0, start_at=NOON) if each.id == "s1-load" else each for each in stages)
    if results is None:
        results = {each.id: result(each.id) for each in STAGES[2:]}
    seen = RunObservation(
        results={name: handed_in(name, each) for name, each in results.items()},
        shards={name: {0: handed_in(f"{name}-0", result(name))} for name in shards},
    )  # fmt: skip
    return RunStatus(stages=stages, faults=(SPIKE,)), seen


def lost(name: str, reason: str, message: str) -> StageStatus:
    return StageStatus(id=f"s1-{name}", state="Lost", attempt=1, reason=reason, message=message)


def test_a_pod_alongside_a_load_is_judged_with_the_load_and_all_others(asked):
    evidence = by_stage(STAGES, *world())["s1-other"]
    assert evidence.result == result("s1-other")
    assert evidence.beside == {name: result(name) for name in ("s1-server", "s1-other")}
    assert evidence.lacking == {}
    assert (evidence.shards, evidence.rate, evidence.start_at) == ((result("s1-load"),), 800.0, NOON.timestamp())
    assert (evidence.peak, evidence.pod, evidence.lost_reason) == (PEAK, "pod-s1-other", "")
    assert ((result("s1-peak"),), {"schedule": []}) in asked


def test_a_fault_that_hands_in_is_judged_with_its_result_and_what_became_of_it():
    evidence = by_stage(STAGES, *world())["s1-spike"]
    assert (evidence.result, evidence.fault) == (result("s1-spike"), SPIKE)
    assert evidence.shards == (result("s1-load"),)


def test_an_agent_that_handed_in_nothing_leaves_the_fault_to_judge_by():
    evidence = by_stage(STAGES, *world(results={}))["s1-spike"]
    assert (evidence.result, evidence.fault, evidence.lost_reason) == (None, SPIKE, "")


def test_an_agent_that_handed_in_nonsense_is_told_of():
    evidence = by_stage(STAGES, *world({"s1-spike": Missing("MalformedResult", "no result")}))["s1-spike"]
    assert (evidence.lost_reason, evidence.broken) == ("MalformedResult", True)


def test_a_path_that_was_lost_is_lacking_and_spoils_no_other():
    status, seen = world(server=lost("server", "PodEvicted", "it was evicted"))
    evidence = by_stage(STAGES, status, seen)
    assert evidence["s1-other"].lacking == {"s1-server": "it was evicted"}
    assert evidence["s1-other"].lost_reason == ""
    assert (evidence["s1-server"].lost_reason, evidence["s1-server"].result) == ("PodEvicted", None)


def test_what_was_measured_beside_a_load_that_was_lost_is_no_evidence():
    status, seen = world(load=lost("load", "PodTimedOut", "it hung"))
    evidence = by_stage(STAGES, status, seen)["s1-other"]
    assert (evidence.lost_reason, evidence.lost_message) == ("PodTimedOut", "it hung")


@pytest.mark.parametrize(("results", "shards"), [({}, ("s1-load",)), (None, ("s1-peak",))])
def test_results_that_the_store_lost_are_no_evidence(results, shards):
    evidence = by_stage(STAGES, *world(results, shards))["s1-other"]
    assert evidence.lost_reason == "ResultLost"
    assert "artifact store" in evidence.lost_message


def test_a_peak_whose_books_are_gone_is_no_longer_proven():
    evidence = by_stage(STAGES, *world(shards=("s1-load",)))["s1-other"]
    assert evidence.peak is not None
    assert not evidence.peak.proven
    assert "artifact store" in evidence.peak.why


def test_results_of_faults_are_linked_like_those_of_pods_and_their_files_are_kept():
    status, seen = world({"s1-spike": result("s1-spike", attachments={"timeline": PICTURE})})
    assert [each.name for each in links(STAGES, status, seen)] == ["s1-spike", "s1-peak-0", "s1-load-0"]
    assert record(0, STAGES, status, seen) == (Store("s1-spike.timeline", b"<svg/>", "image/svg+xml"),)


def test_what_dcgm_told_of_a_pods_card_stands_in_its_result():
    pod = Stage(id="s1-sampling", scenario=0, kind="pod", gpus=1)
    asking = Stage(id="s1-sampling-dcgm", scenario=0, kind="query", parameters={"after": pod.id})
    measured = result(pod.id, facts={"gpu_uuid": "GPU-1"})
    answer = QueryAnswer(
        "q", TimeWindow(start=NOON, end=NOON), series={'{UUID="GPU-1", what="dcgm_clock_mhz"}': ((1.0, 1980.0),)}
    )
    status = RunStatus(stages=(StageStatus(id=pod.id, state="Done", attempt=1), StageStatus(id=asking.id)))
    seen = RunObservation(results={pod.id: handed_in(pod.id, measured)}, answers={asking.id: answer})
    evidence = by_stage((pod, asking), status, seen)
    assert evidence[pod.id].result == result(pod.id, facts={"gpu_uuid": "GPU-1", "dcgm_clock_mhz": 1980.0})
