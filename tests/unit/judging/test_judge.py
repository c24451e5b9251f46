"""One claim × one measurement → one verdict: tables for every branch, properties for all numbers."""

from __future__ import annotations

import datetime as dt
import math

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from perfrun.api.feature import Policy
from perfrun.api.plan import Claim, Comparator
from perfrun.api.run import Source, TimeWindow
from perfrun.api.verdicts import Verdict
from perfrun.capabilities.base import Measured, NotMeasured, Outcome, Refuted, Unproven
from perfrun.judging.judge import judge

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
WINDOW = TimeWindow(start=NOW, end=NOW + dt.timedelta(minutes=1))
COMPARATORS: list[Comparator] = ["<", "<=", ">", ">="]
INF = math.inf


def claim(comparator: Comparator = "<", limit: float = 10.0) -> Claim:
    return Claim(subject="sampling.p99_latency", label="p99 latency", comparator=comparator, limit=limit, unit="ms")


def measured(value: float, lower: float, upper: float, note: str = "") -> Measured:
    return Measured(
        value=value, lower=lower, upper=upper, samples=1000, effective_samples=900.0, window=WINDOW,
        source=Source(kind="Pod", name="pod"), note=note,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("comparator", "lower", "value", "upper", "verdict", "reason"),
    [
        ("<", 8, 9, 9.9, Verdict.PASS, "LimitMet"),
        ("<", 8, 9, 10, Verdict.INCONCLUSIVE, "IntervalSpansLimit"),
        ("<", 10, 11, 12, Verdict.FAIL, "LimitExceeded"),
        ("<=", 8, 9, 10, Verdict.PASS, "LimitMet"),
        ("<=", 10, 11, 12, Verdict.INCONCLUSIVE, "IntervalSpansLimit"),
        ("<=", 10.1, 11, 12, Verdict.FAIL, "LimitExceeded"),
        (">", 10.1, 11, 12, Verdict.PASS, "LimitMet"),
        (">", 10, 11, 12, Verdict.INCONCLUSIVE, "IntervalSpansLimit"),
        (">", 8, 9, 10, Verdict.FAIL, "LimitNotReached"),
        (">=", 10, 11, 12, Verdict.PASS, "LimitMet"),
        (">=", 8, 9, 10, Verdict.INCONCLUSIVE, "IntervalSpansLimit"),
        (">=", 8, 9, 9.9, Verdict.FAIL, "LimitNotReached"),
        ("<", 8, 9, INF, Verdict.INCONCLUSIVE, "TooFewSamples"),
        (">", -INF, 11, 12, Verdict.INCONCLUSIVE, "TooFewSamples"),
        ("<", -INF, 9, 9.5, Verdict.PASS, "LimitMet"),
        ("<", 11, 12, INF, Verdict.FAIL, "LimitExceeded"),
        ("<", 10, 10, 10, Verdict.FAIL, "LimitExceeded"),
        ("<=", 10, 10, 10, Verdict.PASS, "LimitMet"),
        ("<", 8, math.nan, 9, Verdict.INCONCLUSIVE, "NoValue"),
        ("<", math.nan, 8, 9, Verdict.INCONCLUSIVE, "NoValue"),
        (">", 8, 8, math.nan, Verdict.INCONCLUSIVE, "NoValue"),
        (">", INF, INF, INF, Verdict.INCONCLUSIVE, "NoValue"),
        ("<=", INF, INF, INF, Verdict.FAIL, "LimitExceeded"),
        ("<=", 8, INF, INF, Verdict.INCONCLUSIVE, "NoValue"),
    ],
)
def test_the_end_of_the_interval_decides(
    comparator: Comparator, lower: float, value: float, upper: float, verdict: Verdict, reason: str
) -> None:
    judgement = judge(claim(comparator), measured(value, lower, upper), Policy(), 0.99)
    assert (judgement.verdict, judgement.reason) == (verdict, reason)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            measured(12.4, 12.1, 12.9),
            "p99 latency 12.4 ms > 10 ms (99 % interval 12.1 to 12.9 ms, 1000 samples)",
        ),
        (
            measured(8.25, 8.1, 8.9, "on cpu, float32"),
            "p99 latency 8.25 ms < 10 ms (99 % interval 8.1 to 8.9 ms, 1000 samples, on cpu, float32)",
        ),
        (measured(7.0, 7.0, 7.0), "p99 latency 7 ms < 10 ms (1000 samples)"),
        (measured(10.0001, 10.0001, 10.0001), "p99 latency 10.0001 ms > 10 ms (1000 samples)"),
        (measured(INF, INF, INF, "1 never came"), "p99 latency infinity ms > 10 ms (1000 samples, 1 never came)"),
        (
            measured(9.8, 9.1, 11.2),
            (
                "p99 latency 9.8 ms is undecided against < 10 ms: the interval spans the limit "
                "(99 % interval 9.1 to 11.2 ms, 1000 samples)"
            ),
        ),
        (
            measured(9.8, 9.1, INF),
            (
                "p99 latency 9.8 ms is undecided against < 10 ms: too little data bounds the value "
                "(99 % interval 9.1 to infinity ms, 1000 samples)"
            ),
        ),
    ],
)
def test_messages_name_the_number(value: Measured, text: str) -> None:
    assert judge(claim(), value, Policy(), 0.99).message == text


@pytest.mark.parametrize(("accept", "verdict"), [(False, Verdict.INCONCLUSIVE), (True, Verdict.PASS)])
def test_a_projected_value_passes_only_where_the_policy_accepts_it(accept: bool, verdict: Verdict) -> None:
    projected = attrs.evolve(measured(8, 7, 9), basis="Projected")
    judgement = judge(claim(), projected, Policy(accept_projected=accept), 0.99)
    assert judgement.verdict is verdict
    assert judgement.reason == ("LimitMet" if accept else "Projected")


def test_a_projected_miss_is_no_failure_unless_accepted() -> None:
    projected = attrs.evolve(measured(12, 11, 13), basis="Projected")
    assert judge(claim(), projected, Policy(), 0.99).reason == "Projected"
    assert judge(claim(), projected, Policy(accept_projected=True), 0.99).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("broken", "no_data", "on_no_data", "verdict"),
    [
        (False, False, "Inconclusive", Verdict.INCONCLUSIVE),
        (False, True, "Inconclusive", Verdict.INCONCLUSIVE),
        (False, False, "Fail", Verdict.INCONCLUSIVE),
        (False, True, "Fail", Verdict.FAIL),
        (True, False, "Fail", Verdict.ERROR),
        (True, True, "Fail", Verdict.ERROR),
    ],
)
def test_what_was_not_measured_never_passes(broken: bool, no_data: bool, on_no_data: str, verdict: Verdict) -> None:
    nothing = NotMeasured(reason="NoGPU", message="there is no GPU", broken=broken, no_data=no_data)
    judgement = judge(claim(), nothing, Policy.model_validate({"onNoData": on_no_data}), 0.99)
    assert (judgement.verdict, judgement.reason) == (verdict, "NoGPU")
    assert judgement.message.startswith("p99 latency was not measured: there is no GPU")


NUMBERS = st.floats(min_value=-1e9, max_value=1e9)
WIDENINGS = st.floats(min_value=0, max_value=1e9) | st.just(INF)


@given(st.sampled_from(COMPARATORS), st.tuples(NUMBERS, NUMBERS, NUMBERS).map(sorted), NUMBERS, WIDENINGS, WIDENINGS)
def test_widening_the_interval_never_makes_or_turns_a_decision(
    comparator: Comparator, ordered: list[float], limit: float, down: float, up: float
) -> None:
    lower, value, upper = ordered
    narrow = judge(claim(comparator, limit), measured(value, lower, upper), Policy(), 0.99).verdict
    wide = judge(claim(comparator, limit), measured(value, lower - down, upper + up), Policy(), 0.99).verdict
    assert wide in (narrow, Verdict.INCONCLUSIVE)


@given(st.sampled_from(COMPARATORS), st.tuples(NUMBERS, NUMBERS, NUMBERS).map(sorted), NUMBERS)
def test_a_comparator_and_its_negation_never_agree(comparator: Comparator, ordered: list[float], limit: float) -> None:
    lower, value, upper = ordered
    negation: Comparator = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}[comparator]  # type: ignore[assignment]
    one = judge(claim(comparator, limit), measured(value, lower, upper), Policy(), 0.99).verdict
    other = judge(claim(negation, limit), measured(value, lower, upper), Policy(), 0.99).verdict
    assert {one, other} in ({Verdict.PASS, Verdict.FAIL}, {Verdict.INCONCLUSIVE})


@given(st.sampled_from(COMPARATORS), NUMBERS, NUMBERS)
def test_a_decided_message_states_a_true_relation(comparator: Comparator, value: float, limit: float) -> None:
    assume(value != limit)
    message = judge(claim(comparator, limit), measured(value, value, value), Policy(), 0.99).message
    words = message.removeprefix("p99 latency ").split(" ")
    shown, sign, bound = float(words[0]), words[2], float(words[3])
    assert sign in ("<", "≤") if value < limit else sign in (">", "≥")
    assert shown <= bound if value < limit else shown >= bound


KEPT, OPEN, BROKEN = measured(9, 8, 9.9, "note"), measured(9, 8, 11), measured(12, 11, 13)


@pytest.mark.parametrize(
    ("outcome", "verdict", "reason"),
    [
        (Refuted("MissingSeries", "none for n3", KEPT), Verdict.FAIL, "MissingSeries"),
        (Refuted("MissingSeries", "none for n3", OPEN), Verdict.FAIL, "MissingSeries"),
        (Refuted("MissingSeries", "none for n3", BROKEN), Verdict.FAIL, "LimitExceeded"),
        (Unproven("SkillUnclear", "not clear", KEPT), Verdict.INCONCLUSIVE, "SkillUnclear"),
        (Unproven("SkillUnclear", "not clear", OPEN), Verdict.INCONCLUSIVE, "SkillUnclear"),
        (Unproven("SkillUnclear", "not clear", BROKEN), Verdict.FAIL, "LimitExceeded"),
    ],
)
def test_what_stands_besides_the_number_can_only_make_it_worse(outcome: Outcome, verdict: Verdict, reason: str) -> None:
    found = judge(claim(), outcome, Policy(), 0.99)
    assert (found.verdict, found.reason) == (verdict, reason)


def test_the_number_is_told_beside_what_refutes_the_claim() -> None:
    found = judge(claim(), Refuted("MissingSeries", "none for n3", KEPT), Policy(), 0.99)
    assert found.message == ("none for n3 (p99 latency 9 ms < 10 ms, 99 % interval 8 to 9.9 ms, 1000 samples, note)")
