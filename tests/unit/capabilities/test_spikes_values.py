"""Four values out of an agent's answers: the slowest counts, a wrong answer fails, what is not known is not told."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any, get_args

import attrs
import pytest

from perfrun.api.faults import FaultStatus, NodeFault
from perfrun.api.feature import Policy
from perfrun.api.plan import Claim
from perfrun.api.verdicts import Verdict
from perfrun.capabilities.base import Evidence, Measured, NotMeasured
from perfrun.capabilities.spikes_values import measure
from perfrun.judging.judge import judge
from perfrun_kernels.contract import SPIKE_TRUTH, Attachment, Result, Scalar, SpikeKind, SpikeStage, Table

STARTED = 1_800_000_000.0
KINDS: tuple[SpikeKind, ...] = get_args(SpikeKind)
STAGES: tuple[SpikeStage, ...] = get_args(SpikeStage)
ANSWERS = ("detect", "identify", "locate", "trace")
FLAGS = ("detected", "identified", "located", "traced")
LIMITS = {"detect": (5.0, "ms"), "identify": (10.0, "s"), "locate": (30.0, "s"), "trace": (60.0, "s")}
SEEN = [
    "pod", "at_s", "answered_s", "detected", "detect_s", "identified", "identify_s", "located", "stage", "locate_s",
    "traced", "trace_s",
]  # fmt: skip
MADE = ["kind", "round", *SEEN[:2], "lasted_s", *SEEN[3:]]


@attrs.frozen
class Spike:
    """One spike as the agent has it; ``wrong`` are the answers that are not right, ``never`` those that never came."""

    kind: SpikeKind = "quota"
    round: int = 0
    pod: int = 0
    at: float = STARTED + 2
    after: tuple[float, float, float, float] = (0.003, 0.01, 0.2, 1.5)
    wrong: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()
    stage: SpikeStage | None = None

    def row(self, columns: list[str]) -> list[float]:
        stage = STAGES.index(self.stage or SPIKE_TRUTH[self.kind])
        cells: dict[str, float] = {
            "kind": KINDS.index(self.kind), "round": self.round, "pod": self.pod, "at_s": self.at, "lasted_s": 0.05,
            "answered_s": 0.05, "stage": stage,
        }  # fmt: skip
        for answer, flag, after in zip(ANSWERS, FLAGS, self.after, strict=True):
            cells[flag] = float(answer not in self.wrong | self.never)
            cells[f"{answer}_s"] = -1.0 if answer in self.never else after
        return [cells[name] for name in columns]


def wrong(*answers: str) -> dict[str, Any]:
    return {"wrong": frozenset(answers)}


UNSEEN = {"never": frozenset(ANSWERS), "stage": "unknown"}


def result(
    made: list[Spike] | None = None, natural: list[Spike] | None = None, elsewhere: list[Spike] | None = None,
    **changes: Any,
) -> Result:  # fmt: skip
    tables = {
        "injections": Table(MADE, [each.row(MADE) for each in made or []]),
        "natural": Table(SEEN, [each.row(SEEN) for each in natural or []]),
        "elsewhere": Table(SEEN, [each.row(SEEN) for each in elsewhere or []]),
    }
    plain = Result(
        run="r", stage="s1-spike", attempt=1, outcome="Completed", started=STARTED, finished=STARTED + 20,
        tables=tables,
        scalars={
            "injections.ordered": Scalar("", float(len(made or []))), "false_alarms": Scalar("", 0.0),
            "deadline": Scalar("s", 0.002), "baseline.p99": Scalar("s", 0.00042),
        },
        facts={"pods": "shop/web-0, shop/web-1", "source": "tp_btf", "kernel": "6.18"},
        attachments={"trace": Attachment("application/gzip", "AA=="), "timeline": Attachment("image/svg+xml", "AA==")},
    )  # fmt: skip
    return Result(**(vars(plain) | changes))


def fault(**changes: Any) -> FaultStatus:
    begin = dt.datetime.fromtimestamp(STARTED, dt.UTC)
    plain = FaultStatus(
        id="s1-spike", kind="spike", backend="native", seed=1, nodes=(NodeFault(node="node-1"),), state="Undone",
        starts_at=begin, ends_at=begin + dt.timedelta(seconds=20),
    )  # fmt: skip
    return plain.replace(**changes)


def claim(answer: str, inject: tuple[str, ...] = ("quota",)) -> Claim:
    limit, unit = LIMITS[answer]
    return Claim(
        subject=f"spikes.{answer}", label=f"time to {answer}", comparator="<=", limit=limit, unit=unit,
        stage="s1-spike", parameters={"inject": list(inject), "window": 30.0},
    )  # fmt: skip


def measured(answer: str, found: Result, **evidence: Any) -> Measured:
    value = measure(claim(answer), Evidence(result=found, fault=fault(), **evidence))
    assert isinstance(value, Measured), value
    return value


def verdict(answer: str, value: Measured) -> tuple[Verdict, str]:
    judgement = judge(claim(answer), value, Policy(), 0.99)
    return judgement.verdict, judgement.message


@pytest.mark.parametrize(("answer", "value"), [("detect", 4.5), ("identify", 0.02), ("locate", 0.4), ("trace", 3.0)])
def test_the_slowest_answer_counts_in_the_claims_unit(answer: str, value: float) -> None:
    slow = Spike("hog", 1, 1, after=(0.0045, 0.02, 0.4, 3.0))
    found = measured(answer, result([Spike(), slow, Spike("tbf")]))
    assert (found.value, found.lower, found.upper) == pytest.approx((value, value, value))
    assert (found.samples, found.effective_samples) == (3, 3.0)
    assert found.note == "slowest: hog 2 in shop/web-1"
    assert found.source.name == "fault agent on node-1"
    assert verdict(answer, found)[0] is Verdict.PASS


def test_one_that_is_slower_than_promised_fails() -> None:
    found = measured("detect", result([Spike(), Spike(after=(0.0061, 0.01, 0.2, 1.5))]))
    assert verdict("detect", found) == (
        Verdict.FAIL, "time to detect 6.1 ms > 5 ms (2 samples, slowest: quota 1 in shop/web-0)",
    )  # fmt: skip


def stretched(interval: float, longest: float) -> Result:
    plain = result([Spike()])
    times = {"interval": Scalar("s", interval), "interval.max": Scalar("s", longest)}
    return result([Spike()], scalars={**plain.scalars, **times})


@pytest.mark.parametrize(("interval", "longest"), [(0.002, 0.002), (0.002, 0.003), (0.004, 0.004)])
def test_an_interval_that_lets_the_limit_be_kept_is_judged(interval: float, longest: float) -> None:
    assert measured("detect", stretched(interval, longest)).value == pytest.approx(3.0)


def test_who_was_asked_too_seldom_for_the_sake_of_the_budget_is_not_judged() -> None:
    found = stretched(0.002, 0.0031)
    told = measure(claim("detect"), Evidence(result=found, fault=fault()))
    assert isinstance(told, NotMeasured), told
    assert told.reason == "OverBudget"
    assert "only every 3.1 ms at times" in told.message
    assert measured("identify", found).value == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("answer", "spike", "told"),
    [
        ("detect", UNSEEN, "1 of 2 not detected: quota 1 in shop/web-0"),
        ("identify", UNSEEN, "1 of 2 not put down to the right container: quota 1 in shop/web-0"),
        ("locate", UNSEEN, "quota 1 in shop/web-0 as unknown, not throttled"),
        ("trace", UNSEEN, "1 of 2 without trace data"),
        ("identify", wrong("identify"), "1 of 2 not put down to the right container"),
        ("locate", wrong("locate") | {"stage": "qdisc"}, "quota 1 in shop/web-0 as qdisc, not throttled"),
    ],
)
def test_a_missed_or_wrong_answer_fails_whatever_the_limit(answer: str, spike: dict[str, Any], told: str) -> None:
    found = measured(answer, result([Spike("hog"), Spike(**spike)]))
    # Until the end of the watch, 18 s after the spike, it was not there; where the limit is longer, it never was.
    assert found.value == found.lower == (18e3 if answer == "detect" else 18.0 if answer == "identify" else math.inf)
    assert found.upper == math.inf
    judged, message = verdict(answer, found)
    assert judged is Verdict.FAIL
    assert told in message


def test_a_miss_elsewhere_does_not_hide_a_slower_answer() -> None:
    late = Spike("hog", at=STARTED + 19.999, never=frozenset(ANSWERS))
    found = measured("detect", result([Spike(after=(0.5, 1, 1, 2)), late]))
    assert (found.value, found.upper) == (pytest.approx(500), math.inf)


def test_a_spike_that_was_detected_but_has_no_trace_leaves_the_claim_open() -> None:
    found = measure(
        claim("trace"), Evidence(result=result([Spike(), Spike("drop", 2, never=frozenset({"trace"}))]), fault=fault())
    )
    assert isinstance(found, NotMeasured)
    assert (found.reason, found.message) == ("NoTrace", "1 of 2 spikes have no trace data: drop 3 in shop/web-0")


def test_facts_tell_who_was_confused_with_whom_and_what_saw_it() -> None:
    made = [
        Spike(), Spike(round=1, after=(0.0021, 0.01, 0.2, 1.5)), Spike("hog"),
        Spike("hog", 1, **wrong("identify", "locate"), stage="throttled"),
    ]  # fmt: skip
    shard = Result(
        run="r", stage="s1-load", attempt=1, outcome="Completed", started=STARTED, finished=STARTED + 30,
        scalars={"offered_rate": Scalar("1/s", 200.0), "achieved_rate": Scalar("1/s", 199.26)},
    )  # fmt: skip
    facts = measured("detect", result(made, elsewhere=[Spike(pod=1)]), shards=(shard,)).facts
    assert facts["containers"] == {"quota": "2 of 2 right", "hog": "1 of 2 right"}
    assert facts["stages"] == {
        "quota": "throttled 2; expected throttled", "hog": "runqueue 1, throttled 1; expected runqueue",
    }  # fmt: skip
    assert facts["delays"] == {
        "quota": "detected after 2.1 to 3 ms, identified after 10 ms, located after 200 ms, traced after 1.5 s",
        "hog": "detected after 3 ms, identified after 10 ms, located after 200 ms, traced after 1.5 s",
    }
    assert facts["spikes_in_other_pods_meanwhile"] == 1
    assert facts["artifacts"] == ["s1-spike.timeline", "s1-spike.trace"]
    assert (facts["source"], facts["kernel"], facts["false_alarms"]) == ("tp_btf", "6.18", 0)
    assert (facts["deadline_ms"], facts["baseline.p99_ms"]) == (2.0, 0.42)
    assert (facts["offered_per_second"], facts["achieved_per_second"]) == (200.0, 199.3)


def test_a_kind_that_could_not_be_made_is_told_and_the_others_are_judged() -> None:
    base = result([Spike()])
    refused = base.facts | {"refused.nfqueue": "NoNfqueue: not there"}
    ordered = base.scalars | {"injections.ordered": Scalar("spikes", 6.0)}
    found = measured("detect", result([Spike()], facts=refused, scalars=ordered))
    assert found.note == "slowest: quota 1 in shop/web-0; 1 of 6 could be made, no nfqueue"
    assert found.facts["not_made"] == {"nfqueue": "NoNfqueue: not there"}


def test_spikes_that_fell_on_another_are_told_and_left_out() -> None:
    counts = {"injections.ordered": Scalar("", 3.0), "injections.overlaid": Scalar("", 1.0)}
    found = measured("locate", result([Spike(), Spike(round=1)], scalars=counts))
    assert found.samples == 2
    assert found.note.endswith("1 made while the pod was held up by something else already, and left out")
    assert "could be made" not in found.note
    assert found.facts["spikes_overlaid"] == 1
    none = measure(claim("locate"), Evidence(result=result([], scalars=counts), fault=fault()))
    assert isinstance(none, NotMeasured)
    assert none.reason == "NothingInjected"
    assert "held up by something else each time" in none.message


def test_a_spike_in_a_pod_that_is_nobodys_is_told_as_such() -> None:
    found = watched("detect", Spike(pod=-1))
    assert isinstance(found, Measured)
    assert "a pod that is not the Service's" in found.note


def test_where_none_could_be_made_nothing_is_measured() -> None:
    base = result()
    refused = result(natural=[Spike()], facts=base.facts | {"refused.hog": "NoAffinity", "refused.drop": "NoBpf"})
    found = measure(claim("detect"), Evidence(result=refused, fault=fault()))
    assert isinstance(found, NotMeasured)
    assert found.reason == "NothingInjected"
    assert "(drop: NoBpf; hog: NoAffinity)" in found.message


def watched(answer: str, *natural: Spike) -> Measured | NotMeasured:
    return measure(claim(answer, inject=()), Evidence(result=result(natural=list(natural)), fault=fault()))


def test_without_any_spike_nothing_is_measured() -> None:
    found = watched("detect")
    assert isinstance(found, NotMeasured)
    assert found.reason == "NoSpike"
    for part in ("in 30 s", "spikes.window", "chaos.allowed"):
        assert part in found.message


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_spike_that_nobody_made_is_scored_against_what_is_proven(answer: str) -> None:
    found = watched(answer, Spike(stage="runqueue"))
    assert isinstance(found, Measured)
    assert found.note.endswith("none was made, so they are scored against what is proven")
    assert found.facts["stages"] == {"natural": "runqueue 1"}


@pytest.mark.parametrize("answer", ["identify", "locate"])
def test_what_is_not_proven_of_a_spike_that_nobody_made_is_not_known(answer: str) -> None:
    found = watched(answer, Spike(), Spike(pod=1, **wrong(answer)))
    assert isinstance(found, NotMeasured)
    assert found.reason == "NotProven"
    assert "of 2 spikes that nobody made, 1 do not prove" in found.message
    assert "shop/web-1" in found.message


@pytest.mark.parametrize(
    ("evidence", "reason", "message", "broken"),
    [
        ({"fault": fault(reason="FaultNotProven", message="no report")}, "FaultNotProven", "no report", False),
        ({"fault": fault(), "lost_reason": "AgentRefused", "lost_message": "no"}, "AgentRefused", "no", False),
        ({"fault": fault()}, "NoResult", "handed in no result", False),
        (
            {"fault": fault(), "result": result(outcome="Unmeasurable", reason="NoProbe", message="no pod answers")},
            "NoProbe", "no pod answers", False,
        ),
        ({"fault": fault(), "result": result(tables={})}, "MalformedResult", "no table 'injections'", True),
        (
            {"fault": fault(), "result": result([Spike(pod=7)])}, "MalformedResult", "cannot be read (IndexError", True,
        ),
        (
            {
                "fault": fault(reason="CalledOff"),
                "shards": (result(outcome="Unmeasurable", reason="GeneratorSaturated", message="at 90/s"),),
            },
            "GeneratorSaturated", "at 90/s", False,
        ),
    ],
    ids=["fault", "lost", "nothing", "unmeasurable", "no tables", "no such pod", "load"],
)  # fmt: skip
def test_what_left_no_answers_says_why(evidence: dict[str, Any], reason: str, message: str, broken: bool) -> None:
    found = measure(claim("detect"), Evidence(**evidence))
    assert isinstance(found, NotMeasured)
    assert (found.reason, found.broken) == (reason, broken)
    assert message in found.message
