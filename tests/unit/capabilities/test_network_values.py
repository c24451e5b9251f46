"""The container network, measured on synthetic paths: every verdict, and every reason for none."""

import re

import attrs
import pytest
from loads import START, changed
from paths import LOAD, PEAK, STAGES, TARGET, Path, claims, evidence

from perfrun.api.feature import Policy
from perfrun.api.network import Network as Tuning
from perfrun.api.network import Peak
from perfrun.capabilities.base import Evidence, FoundPeak, NotMeasured
from perfrun.capabilities.network import Network
from perfrun.judging.judge import judge
from perfrun_kernels.contract import Result, Scalar, Series

KEYS = ("kernel_latency", "packet_loss", "throughput")
CLAIMS = claims()


def judged(key, seen, **limits):
    claim = (claims(**limits) if limits else CLAIMS)[key]
    measured = Network().measure(claim, seen, 0.99)
    return measured, judge(claim, measured, Policy(), 0.99)


def told(key, seen, **limits):
    _, judgement = judged(key, seen, **limits)
    return judgement.verdict.value, judgement.reason


def unheld(second):
    """Let only half of the requests be answered, from the baseline's end on."""
    return {"error": 75} if second >= 5 else {}


PASS, FAIL = ("Pass", "LimitMet"), ("Fail", "LimitExceeded")


@pytest.mark.parametrize(
    ("path", "verdict"),
    [
        (Path(), PASS),
        (Path(latency=0.9e-3), FAIL),
        (Path(stall=5e-3), FAIL),
        (Path(stall=5e-3, stampless=60), FAIL),
        (Path(latency=2e-3), FAIL),
        (Path(latency=0.52e-3, together=50), ("Inconclusive", "IntervalSpansLimit")),
        (Path(together=500), ("Inconclusive", "TooFewSamples")),
        (Path(stampless=2000), ("Inconclusive", "TooFewSamples")),
        (Path(stampless=300), PASS),
    ],
    ids=[
        "fast", "slow", "stalls", "stalls and no stamps", "far too slow", "near", "in clusters", "no stamps",
        "few without stamps",
    ],
)  # fmt: skip
def test_kernel_latency(path, verdict):
    assert told("kernel_latency", evidence(path)) == verdict


def test_kernel_latency_is_half_of_the_round_trip_and_says_so():
    measured, judgement = judged("kernel_latency", evidence())
    assert 0.020 < measured.lower < measured.value < measured.upper < 0.045
    assert "p99 one way, half of the round trip between kernels" in judgement.message
    assert "at the peak load of 1500/s, held to 100%" in judgement.message


def test_latencies_that_come_together_are_worth_fewer():
    alone, _ = judged("kernel_latency", evidence())
    clustered, _ = judged("kernel_latency", evidence(Path(together=100)))
    assert clustered.effective_samples < alone.effective_samples / 20
    assert clustered.upper - clustered.lower > alone.upper - alone.lower


@pytest.mark.parametrize(
    ("path", "verdict"),
    [
        (Path(), PASS),
        (Path(lost=2), PASS),
        (Path(lost=5), ("Inconclusive", "IntervalSpansLimit")),
        (Path(lost=60), FAIL),
        (Path(duplicates=500, reordered=900), PASS),
        (Path(overflowed=400), PASS),
        (Path(refused=300), PASS),
        (Path(unsent=300), PASS),
    ],
    ids=["none", "two", "some", "many", "twice", "our own buffer", "refused here", "never sent"],
)
def test_packet_loss(path, verdict):
    assert told("packet_loss", evidence(path)) == verdict


def test_no_packet_is_lost_that_was_never_sent_and_the_rest_is_told():
    path = Path(lost=1, duplicates=7, reordered=3, overflowed=5, refused=11, unsent=13)
    measured, judgement = judged("packet_loss", evidence(path))
    assert measured.samples == 85_000 - 11 - 13
    assert measured.value == pytest.approx(100 / measured.samples)
    for said in ("1 of 84976 packets lost", "7 twice", "3 out of order", "5 arrived and found", "11 refused by"):
        assert said in judgement.message


def test_none_lost_of_too_few_is_no_pass_and_it_is_said_how_many_it_takes():
    few = Path().result()
    scalars = few.scalars | {name: Scalar("packets", 40_000.0) for name in ("scheduled", "sent", "received")}
    _, judgement = judged("packet_loss", evidence(result=Result(**{**_fields(few), "scalars": scalars})))
    assert (judgement.verdict.value, judgement.reason) == ("Inconclusive", "IntervalSpansLimit")
    assert "it takes 46050 with none lost" in judgement.message


def test_packets_that_do_not_add_up_are_an_error():
    whole = Path().result()
    scalars = whole.scalars | {"received": Scalar("packets", 1.0)}
    _, judgement = judged("packet_loss", evidence(result=Result(**{**_fields(whole), "scalars": scalars})))
    assert (judgement.verdict.value, judgement.reason) == ("Error", "LedgerOpen")


@pytest.mark.parametrize(
    ("path", "verdict"),
    [
        (Path(), PASS),
        (Path(gbits=8), ("Fail", "LimitNotReached")),
        (Path(gbits=10.1, wander=0.1), ("Inconclusive", "IntervalSpansLimit")),
        (Path(rounds=1), ("Inconclusive", "TooFewSamples")),
    ],
    ids=["fast", "slow", "near", "one slice"],
)
def test_throughput(path, verdict):
    assert told("throughput", evidence(path)) == verdict


def test_slow_start_is_left_out_and_slices_are_what_counts():
    measured, judgement = judged("throughput", evidence(Path(wander=0.1)))
    assert measured.value == pytest.approx(14, rel=0.1)
    assert measured.samples == 15
    assert measured.effective_samples < 8
    assert "5 slices with 4 streams, 12 segments sent again" in judgement.message


def test_few_slices_bound_little_and_no_rate_is_below_zero():
    measured, _ = judged("throughput", evidence(Path(rounds=2, wander=0.5)))
    assert measured.lower == 0
    assert "too few slices to bound it" in measured.facts["container network costs"]


def test_what_nobody_counted_is_not_zero():
    _, judgement = judged("throughput", evidence(Path(retransmits=None)))
    assert "an unknown number of segments sent again" in judgement.message


def test_the_window_is_that_of_the_packets_or_of_all_slices():
    for key, first, last in (("packet_loss", 1, 18), ("throughput", 28, 66)):
        measured, _ = judged(key, evidence())
        begins, ends = (each.timestamp() - START - 5 for each in (measured.window.start, measured.window.end))
        assert (begins, ends) == (first, last)


@pytest.mark.parametrize("key", KEYS)
def test_at_less_than_the_peak_load_nothing_passes(key):
    _, judgement = judged(key, evidence(shape=unheld))
    assert (judgement.verdict.value, judgement.reason) == ("Inconclusive", "PeakNotHeld")
    assert re.search("the peak load was held to 5[01]%", judgement.message)
    assert "of 1500 requests per second were answered well" in judgement.message


@pytest.mark.parametrize(
    ("key", "path"),
    [("kernel_latency", Path(latency=2e-3)), ("packet_loss", Path(lost=60)), ("throughput", Path(gbits=8))],
)
@pytest.mark.parametrize(
    "changes",
    [{"shape": unheld}, {"peak": attrs.evolve(PEAK, proven=False)}, {"peak": None}],
    ids=["not held", "not proven", "unknown"],
)
def test_at_less_than_the_peak_load_what_is_broken_still_fails(key, path, changes):
    measured, judgement = judged(key, evidence(path, **changes))
    assert judgement.verdict.value == "Fail"
    assert "peak load" in measured.note


def test_only_what_was_measured_while_the_load_was_not_held_is_in_doubt():
    def during_slices(second):
        return unheld(second) if second >= 30 else {}

    seen = evidence(shape=during_slices)
    assert told("packet_loss", seen) == PASS
    assert told("throughput", seen) == ("Inconclusive", "PeakNotHeld")


@pytest.mark.parametrize("key", KEYS)
def test_a_peak_that_nobody_saw_lets_nothing_pass(key):
    why = "1500/s was still answered well and is the last of 4 steps"
    measured, judgement = judged(key, evidence(peak=FoundPeak(1500.0, why)))
    assert (judgement.verdict.value, judgement.reason) == ("Inconclusive", "PeakNotFound")
    assert why in judgement.message
    assert measured.facts["peak_found"] == why


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("changes", "reason"), [({}, "LimitMet"), ({"shape": unheld}, "PeakNotHeld")], ids=["held", "not held"]
)
def test_a_peak_that_the_target_states_is_proven_and_must_be_held(key, changes, reason):
    claim = claims(TARGET.replace(network=Tuning(peak=Peak(rate=1500))))[key]
    measured = Network().measure(claim, evidence(peak=None, rate=None, **changes), 0.99)
    assert judge(claim, measured, Policy(), 0.99).reason == reason
    assert measured.facts["peak_found"] == "stated by the target"
    assert measured.facts["peak_requests_per_second"] == 1500


@pytest.mark.parametrize("key", ["kernel_latency", "packet_loss"])
def test_packets_at_less_than_the_stated_rate_pass_nothing(key):
    _, judgement = judged(key, evidence(Path(unsent=2000)))
    assert (judgement.verdict.value, judgement.reason) == ("Inconclusive", "PacketsBehind")
    assert "83000 of 85000 packets went out" in judgement.message


def test_facts_show_the_paths_side_by_side_and_what_the_container_network_costs():
    latency, _ = judged("kernel_latency", evidence())
    loss, _ = judged("packet_loss", evidence())
    rate, _ = judged("throughput", evidence())
    for measured in (latency, loss, rate):
        assert {"other node", "same node", "host network"} <= set(measured.facts)
        assert all("load held to 100%" in measured.facts[path] for path in ("other node", "same node", "host network"))
        assert measured.facts["peak_requests_per_second"] == 1500
        assert measured.facts["mtu"] == 1450
    assert "p99 in the qdisc" in latency.facts["other node"]
    assert latency.facts["container network costs"].startswith("+")
    told = rate.facts["host network"]
    assert "CPU per Gbit 0.110 s sending and 0.130 s receiving, MTU 1450, congestion control cubic" in told
    share = float(rate.facts["container network costs"].partition(" %")[0])
    assert share == pytest.approx(70, abs=4)


def test_a_path_to_compare_with_that_is_missing_costs_no_verdict_and_is_said():
    whole = evidence()
    seen = attrs.evolve(
        whole, beside={"s1-other": whole.result, "s1-same": _refused("s1-same")},
        lacking={"s1-host": "host networking is not permitted in namespace shop"},
    )  # fmt: skip
    for key in KEYS:
        measured, judgement = judged(key, seen)
        assert judgement.verdict.value == "Pass"
        assert measured.facts["host network"] == "not measured: host networking is not permitted in namespace shop"
        assert measured.facts["same node"] == "not measured: no UDP packet came back"
        assert "container network costs" not in measured.facts


@pytest.mark.parametrize(
    ("changes", "verdict", "reason", "said"),
    [
        (
            {"result": None, "lost_reason": "Unschedulable", "lost_message": "no second node has room"},
            "Inconclusive", "Unschedulable", "no second node has room",
        ),
        ({"result": None}, "Inconclusive", "NoResult", "left no result"),
        ({"shards": ()}, "Inconclusive", "NoResult", "of the load that it goes along with"),
        ({"result": None, "lost_reason": "NoPeak", "lost_message": "not even"}, "Inconclusive", "NoPeak", "not even"),
    ],
    ids=["no node", "no result", "no load", "no peak"],
)  # fmt: skip
@pytest.mark.parametrize("key", KEYS)
def test_what_is_missing_is_told(key, changes, verdict, reason, said):
    _, judgement = judged(key, evidence(**changes))
    assert (judgement.verdict.value, judgement.reason) == (verdict, reason)
    assert said in judgement.message


@pytest.mark.parametrize("key", KEYS)
def test_no_udp_is_no_verdict(key):
    _, judgement = judged(key, evidence(result=_refused("s1-other")))
    assert (judgement.verdict.value, judgement.reason) == ("Inconclusive", "NoUDP")
    assert "no UDP packet came back" in judgement.message


def test_a_load_that_was_not_whole_is_no_load():
    stopped = changed(LOAD.result(), facts={"stopped": True})
    assert told("packet_loss", evidence(shards=(stopped,))) == ("Inconclusive", "LoadStopped")


@pytest.mark.parametrize("key", KEYS)
def test_a_result_without_its_parts_is_an_error_or_no_sample(key):
    whole = Path().result()
    bare = Result(**{**_fields(whole), "scalars": {}, "series": {}, "tables": {}})
    measured, judgement = judged(key, evidence(result=bare))
    assert isinstance(measured, NotMeasured)
    assert (judgement.verdict.value, judgement.reason) in {("Error", "MalformedResult"), ("Inconclusive", "NoSamples")}


def test_a_slice_without_intervals_has_no_rate():
    whole = Path().result()
    series = whole.series | {"throughput": Series("Gbit/s", [1.0, 1.0], [0, 1])}
    seen = evidence(result=Result(**{**_fields(whole), "series": series}))
    assert told("throughput", seen) == ("Inconclusive", "NoSamples")


def test_no_evidence_at_all():
    assert told("throughput", Evidence()) == ("Inconclusive", "NoResult")


def test_facts_are_small():
    measured, _ = judged("throughput", evidence())
    assert len(str(measured.facts)) < 1600


def _fields(result):
    return {name: getattr(result, name) for name in result.__dataclass_fields__}


def _refused(stage):
    return Result(
        run="r", stage=stage, attempt=1, outcome="Unmeasurable", started=START, finished=START, reason="NoUDP",
        message="no UDP packet came back",
    )  # fmt: skip


def test_the_paths_are_those_that_were_planned():
    assert set(CLAIMS["throughput"].parameters["paths"].values()) == {"s1-other", "s1-same", "s1-host"} <= set(STAGES)
