"""Fault tolerance, measured on synthetic loads during which nodes fail: every verdict, and every reason for none."""

import attrs
import pytest
from loads import RUN, Happening, at, changed, fault, logged

from perfrun.api.feature import Policy
from perfrun.api.plan import Claim
from perfrun.capabilities.base import Evidence, NotMeasured
from perfrun.capabilities.faults import Faults
from perfrun.judging.judge import judge

LOAD = Happening()
INJECTED, ENDS = 10.05, 57.0
PARAMETERS = {
    "baseline": 10.0, "fault": 47.0, "tail": 10.0, "floor": 80.0, "sustained": 3.0, "deadline": 5.0,
    "drop_resolution": 1e-4, "connections": 64, "requests_per_connection": 1.0,
}  # fmt: skip


def claim(key, limit, unit, comparator="<=", **parameters):
    return Claim(
        subject=f"faults.{key}", label=key, comparator=comparator, limit=limit, unit=unit, stage="s1-load",
        parameters=PARAMETERS | parameters,
    )  # fmt: skip


REBALANCE = claim("rebalance_time", 10, "s")
FLOOR = claim("throughput", 80, "%", ">")
DROPPED = claim("dropped", 0, "requests")
CLAIMS = pytest.mark.parametrize("said", [REBALANCE, FLOOR, DROPPED], ids=["rebalance", "floor", "dropped"])


def failover(until=0.0, **during):
    """Return the shape of a load whose first node fails, and which is as ``during`` says until so long afterwards."""

    def shape(now):
        gone = now + 0.05 >= INJECTED and now < ENDS
        troubled = during if now + 0.05 >= INJECTED and now < INJECTED + until else {}
        return {"weights": (0, 1, 1, 1, 1) if gone else (1, 1, 1, 1, 1), **troubled}

    return shape


def evidence(shape=None, load=LOAD, **changes):
    whole = load.evidence(shape or failover(), fault=fault(0))
    return attrs.evolve(whole, **{"ids": logged(whole), **changes})


def judged(said, known, confidence=0.99):
    measured = Faults().measure(said, known, confidence)
    return measured, judge(said, measured, Policy(), confidence)


def told(said, known):
    _, judgement = judged(said, known)
    return judgement.verdict.value, judgement.reason


GOOD = evidence()


@CLAIMS
def test_a_system_that_takes_over_at_once_passes(said):
    assert told(said, GOOD) == ("Pass", "LimitMet")


@pytest.mark.parametrize(
    ("shape", "verdict", "reason", "cause", "seconds"),
    [
        (failover(4.0, error=30), "Pass", "LimitMet", "lost", (3.9, 5)),
        (failover(20.0, error=30), "Fail", "LimitExceeded", "lost", (19.9, 21)),
        (failover(60.0, error=30), "Fail", "LimitExceeded", "lost", (46, 48)),
        (failover(6.0, late=150), "Pass", "LimitMet", "backlog", (4.9, 7)),
        (failover(20.0, weights=(0, 6, 0.01, 0.01, 0.01)), "Fail", "LimitExceeded", "spread", (18.9, 21)),
        (failover(60.0, weights=(0, 1, 1, 1, 0)), "Fail", "LimitExceeded", "spread", (40, 48)),
        (failover(9.9, error=30), "Inconclusive", "IntervalSpansLimit", "lost", (9.5, 10.95)),
    ],
    ids=["soon", "late", "never", "backlog", "uneven", "idle", "near the limit"],
)
def test_the_time_to_rebalance(shape, verdict, reason, cause, seconds):
    measured, judgement = judged(REBALANCE, evidence(shape))
    assert (judgement.verdict.value, judgement.reason) == (verdict, reason)
    assert seconds[0] <= measured.value <= seconds[1]
    assert measured.lower <= measured.value <= measured.upper
    assert measured.facts["bad_by_cause"][cause] > 0


def test_what_never_recovers_is_bounded_from_below_and_says_why():
    measured, judgement = judged(REBALANCE, evidence(failover(60.0, error=30)))
    assert measured.upper == float("inf")
    assert (
        "it had not rebalanced when the fault ended after 47 s: too few good answers 46 times, lost requests"
        in judgement.message
    )


def test_a_recovery_tells_what_happened_on_the_way():
    measured, _ = judged(REBALANCE, evidence(failover(4.0, error=30)))
    facts = measured.facts
    assert facts["injection_delay_seconds"] == pytest.approx(0.05, abs=0.001)
    assert facts["not_ready_after_seconds"] == [5.0]
    assert 0 <= facts["last_answer_of_failed_nodes_after_seconds"] <= 0.2
    assert facts["failed_nodes"] == ["node-0"]
    assert facts["bad_windows"] == 5
    assert facts["resolution_seconds"] == 1.0


def test_a_recovery_counts_from_the_injection_not_from_the_plan():
    late = evidence(
        lambda now: {"weights": (0, 1, 1, 1, 1), "error": 30} if 12 <= now < 14 else failover()(now), fault=fault(0)
    )
    early, _ = judged(REBALANCE, late)
    assert early.value == pytest.approx(4, abs=1.1)


@pytest.mark.parametrize(
    ("shape", "verdict", "reason"),
    [
        (failover(1.0, late=60), "Pass", "LimitMet"),
        (failover(5.0, error=50), "Fail", "LimitNotReached"),
        (failover(5.0, error=15), "Inconclusive", "IntervalSpansLimit"),
        (lambda now: {"error": 50} if 60 <= now < 63 else failover()(now), "Fail", "LimitNotReached"),
        (
            lambda now: failover()(now) | ({"error": round(5 * now)} if now < 10 else {}),
            "Inconclusive",
            "NoSteadyState",
        ),
        (lambda now: failover()(now) | ({"error": 1000} if now < 10 else {}), "Inconclusive", "NoBaseline"),
    ],
    ids=["short dip", "half", "near the limit", "when the node returns", "drifting baseline", "no baseline"],
)
def test_the_floor_of_throughput(shape, verdict, reason):
    assert told(FLOOR, evidence(shape)) == (verdict, reason)


def test_the_floor_tells_when_and_how_low():
    measured, judgement = judged(FLOOR, evidence(failover(5.0, error=50)))
    assert 40 < measured.value < 60
    assert "good answers per second" in judgement.message
    assert 0 <= measured.facts["lowest_after_seconds"] < 5


def test_what_a_generator_sent_late_is_no_dip_of_the_servers():
    shape = failover(5.0, error=50)
    stalled = evidence(shape, attrs.evolve(LOAD, stall=0.5))
    assert told(FLOOR, stalled)[0] == "Inconclusive"
    assert judged(FLOOR, stalled)[0].facts["generator_most_late_seconds"] == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize(
    ("shape", "dropped", "verdict", "reason"),
    [
        (lambda now: {"error": 1} if 30 <= now < 30.1 else {}, (1, 1), "Fail", "LimitExceeded"),
        (lambda now: {"timeout": 1} if 60 <= now < 60.1 else {}, (1, 1), "Fail", "LimitExceeded"),
        (lambda now: {"timeout": 2} if 8 <= now < 8.1 else {}, (2, 2), "Fail", "LimitExceeded"),
        (lambda now: {"error": 2} if 8 <= now < 8.1 else {}, (0, 2), "Inconclusive", "IntervalSpansLimit"),
        (lambda now: {"error": 2} if 2 <= now < 2.1 else {}, (0, 0), "Pass", "LimitMet"),
        (lambda now: {"never_sent": 3} if 30 <= now < 30.1 else {}, (3, 3), "Fail", "LimitExceeded"),
    ],
    ids=["one", "at the return", "in flight at the injection", "perhaps before", "long before", "all connections held"],
)
def test_dropped_requests(shape, dropped, verdict, reason):
    measured, judgement = judged(DROPPED, evidence(lambda now: {**failover()(now), **shape(now)}))
    assert (judgement.verdict.value, judgement.reason) == (verdict, reason)
    assert (measured.lower, measured.upper) == dropped


def test_a_server_that_drops_one_in_ten_thousand_is_caught():
    caught = 0
    for seed in range(5):
        whole = attrs.evolve(LOAD, seed=seed)
        # One request in ten thousand: at 1000/s one of a hundred windows of 0.1 s.
        shape = lambda now: {**failover()(now), "error": int(round(now * 10) % 100 == 37)}  # noqa: E731 -- one use
        caught += told(DROPPED, evidence(shape, whole)) == ("Fail", "LimitExceeded")
    assert caught == 5


def test_none_dropped_tells_what_share_that_excludes():
    measured, judgement = judged(DROPPED, GOOD)
    assert measured.facts["share_at_most"] <= 1e-4
    assert "fewer than 1 in 10" in judgement.message
    assert measured.facts["first_attempts_failed"] == 0
    assert measured.facts["logged"] == measured.facts["ok"]


def test_too_few_requests_prove_no_absence_of_drops():
    few = evidence(load=attrs.evolve(LOAD, rate=500.0))
    measured, judgement = judged(DROPPED, few)
    assert (judgement.verdict.value, judgement.reason) == ("Inconclusive", "NotEnoughRequests")
    assert "1 in 10000 takes 46050" in judgement.message
    assert measured.facts["requests_during_fault"] < 46_050


LOST = evidence(lambda now: {**failover()(now), **({"error": 2} if 30 <= now < 30.1 else {})})


@pytest.mark.parametrize(
    ("known", "verdict", "reason", "said"),
    [
        (attrs.evolve(GOOD, ids=None), "Pass", "LimitMet", "the servers' logs were not asked"),
        (attrs.evolve(GOOD, ids=logged(GOOD, missing=3)), "Inconclusive", "LedgerDisagrees", "3 of "),
        (
            attrs.evolve(GOOD, ids=logged(GOOD, missing=3, gaps=("web-0 is gone",))), "Pass", "LimitMet",
            "3 answers are not in the logs that could be read",
        ),
        (
            attrs.evolve(GOOD, ids=attrs.evolve(logged(GOOD), ids=())), "Inconclusive", "LedgerDisagrees",
            "the servers logged none of them",
        ),
        (
            attrs.evolve(GOOD, ids=attrs.evolve(logged(GOOD), ids=(*logged(GOOD).ids, f"{RUN}-0-999999-0"))),
            "Inconclusive", "LedgerDisagrees", "1 more good answers than the generators got",
        ),
        (
            attrs.evolve(LOST, ids=logged(LOST, unanswered=True)), "Fail", "LimitExceeded",
            "servers logged good answers to 2 of the unanswered",
        ),
        (attrs.evolve(LOST, ids=logged(LOST, missing=3)), "Fail", "LimitExceeded", "2 during the fault"),
    ],
    ids=["not asked", "missing", "gaps", "empty", "too many", "lost on the way", "drops and missing"],
)  # fmt: skip
def test_the_ledger_is_held_against_the_servers_logs(known, verdict, reason, said):
    _, judgement = judged(DROPPED, known)
    assert (judgement.verdict.value, judgement.reason) == (verdict, reason)
    assert said in judgement.message


@pytest.mark.parametrize(
    ("broken", "reason", "sentence"),
    [
        (None, "FaultNotProven", "not known whether any node failed"),
        (fault(0, state="Refused", reason="ChaosNotAllowed", message="off"), "ChaosNotAllowed", "off"),
        (fault(0, state="Refused"), "FaultRefused", "called off"),
        (fault(0, reason="EndedEarly", message="it ended early"), "EndedEarly", "it ended early"),
        (
            fault(0, nodes=(fault(0).nodes[0].replace(injected_at=None),)),
            "FaultNotProven", "not proven that node-0 failed",
        ),
        (fault(0, nodes=()), "FaultNotProven", "any node"),
        (
            fault(0, nodes=(*fault(0).nodes, fault(1, injected=12.0).nodes[0])),
            "NotSimultaneous", "s lay between the first and the last",
        ),
        (fault(1), "FaultNotProven", "node-1 gave"),
    ],
    ids=["none", "not allowed", "called off", "ended early", "no proof", "no nodes", "apart", "still answering"],
)  # fmt: skip
@CLAIMS
def test_a_fault_that_is_not_proven_measures_nothing(said, broken, reason, sentence):
    measured, judgement = judged(said, attrs.evolve(GOOD, fault=broken))
    assert (judgement.verdict.value, judgement.reason) == ("Inconclusive", reason)
    assert sentence in measured.message


@CLAIMS
def test_what_is_no_whole_load_measures_nothing(said):
    assert told(said, Evidence(lost_reason="AgentLate", lost_message="m")) == ("Inconclusive", "AgentLate")
    short = LOAD.result(lambda now: {"never_sent": 10})
    own = changed(short, facts={"error.never sent: all connections were busy": 0})
    assert told(said, evidence(shards=(own,), ids=None)) == ("Inconclusive", "GeneratorSaturated")
    late = evidence(load=attrs.evolve(LOAD, lateness=0.2))
    assert told(said, late) == ("Inconclusive", "GeneratorSaturated")
    open_books = changed(LOAD.result(), scalars={"ledger.ok": 1})
    assert told(said, evidence(shards=(open_books,), ids=None)) == ("Error", "LedgerOpen")


def test_a_frozen_node_may_answer_for_it_is_its_kubelet_that_stands_still():
    still = lambda _: {}  # noqa: E731 -- a shape
    known = evidence(still, fault=fault(0, kind="freeze"))
    assert told(DROPPED, known) == ("Pass", "LimitMet")
    assert not isinstance(Faults().measure(REBALANCE, known, 0.99), NotMeasured)


def test_killed_pods_are_undone_at_once_and_observed_to_the_end():
    known = evidence(fault=fault(0, kind="pod-kill", undone=10.06))
    measured, _ = judged(REBALANCE, known)
    assert measured.window.end == at(57)


def test_an_observation_that_was_cut_short_proves_no_lateness():
    known = evidence(failover(60.0, error=30), fault=fault(0, undone=15.0))
    measured, judgement = judged(REBALANCE, known)
    assert measured.upper == float("inf")
    assert (judgement.verdict.value, judgement.reason) == ("Inconclusive", "TooFewSamples")


def test_no_node_that_is_left_or_known_measures_no_recovery():
    alone = attrs.evolve(GOOD, serving=GOOD.serving[:1])
    assert told(REBALANCE, alone) == ("Inconclusive", "UnknownServers")
    one = evidence(load=attrs.evolve(LOAD, nodes=1), shape=lambda _: {}, fault=fault(0, kind="freeze"))
    assert told(REBALANCE, one) == ("Inconclusive", "NotEnoughNodes")


def test_two_shards_are_one_load():
    known = evidence(load=attrs.evolve(LOAD, shards=2))
    assert [told(said, known)[0] for said in (REBALANCE, FLOOR, DROPPED)] == ["Pass"] * 3


def test_trouble_that_comes_back_after_a_recovery_is_told():
    def shape(now):
        return failover()(now) | ({"error": 30} if 30 <= now < 35 else {})

    measured, judgement = judged(REBALANCE, evidence(shape))
    assert measured.value < 2
    assert "bad again until 25 s" in judgement.message


def test_a_node_may_answer_just_after_it_was_cut_off_and_just_before_it_is_back():
    def shape(now):
        early = INJECTED < now < INJECTED + 0.9 or now > ENDS - 0.4
        return {"weights": (1, 1, 1, 1, 1)} if early else failover()(now)

    assert told(DROPPED, evidence(shape)) == ("Pass", "LimitMet")
