"""A prediction error out of a backtest, and whether a model was worth it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from perfrun.api.feature import Policy
from perfrun.api.plan import Claim
from perfrun.api.verdicts import Verdict
from perfrun.capabilities.base import Evidence, LiveRecord, Measured, NotMeasured
from perfrun.capabilities.forecast_values import live, measure
from perfrun.judging.judge import Judgement, judge
from perfrun_kernels.contract import Attachment, Result, Scalar

STARTED = 1_800_000_000.0
SCALARS = {
    "rt.wape": 6.0, "rt.wape.lower": 5.0, "rt.wape.upper": 7.5, "rt.naive": 12.0, "rt.ratio": 0.5,
    "rt.ratio.lower": 0.4, "rt.ratio.upper": 0.62, "rt.coverage": 91.0, "rt.nominal": 95.0, "rt.windows": 20.0,
    "rt.effective": 14.0, "rt.history": 35 * 86400.0, "rt.needed": 21 * 86400.0,
}  # fmt: skip
FACTS = {
    "rt.model": "mean of AutoETS, Theta", "rt.models": "AutoETS 6 %, Theta 7 %", "rt.query": "sum(x)", "rt.step": "5m",
    "rt.reason": "", "rt.why": "", "bottleneck": "CPU is full first", "bottlenecks": "1. CPU", "usl": "it scales",
}  # fmt: skip
RECORD = LiveRecord(12, 8.1, 90.0, dt.datetime(2026, 11, 1, tzinfo=dt.UTC), apart=10, nominal=95.0, naive=11.0)


def claim(limit: float = 10, *, ranking: bool = False) -> Claim:
    return Claim(
        subject="forecast.prediction_error", label="prediction error of Response time 1 h ahead", comparator="<=",
        limit=limit, unit="%", stage="s1-forecast",
        parameters={"key": "rt", "name": "Response time", "unit": "s", "horizon_s": 3600.0, "ranking": ranking},
    )  # fmt: skip


def evidence(
    *lacking: str, facts: dict[str, Any] | None = None, kept: dict[str, LiveRecord] | None = None, **scalars: float
) -> Evidence:
    """Return what a pod found; in names of scalars, two underscores stand for a point."""
    numbers = SCALARS | {name.replace("__", "."): value for name, value in scalars.items()}
    result = Result(
        run="run", stage="s1-forecast", attempt=1, outcome="Completed", started=STARTED, finished=STARTED + 30,
        scalars={
            name: Scalar("", None, f"{name} is not known") if name in lacking else Scalar("", value)
            for name, value in numbers.items()
        },
        facts=FACTS | (facts or {}), attachments={"forecast": Attachment("image/svg+xml", "")},
    )  # fmt: skip
    return Evidence(result=result, pod="pod-1", kept=kept or {})


def judged(found: Evidence, asked: Claim | None = None) -> Judgement:
    asked = asked or claim()
    return judge(asked, measure(asked, found), Policy(), 0.99)


def test_a_small_error_with_skill_passes() -> None:
    found = judged(evidence())
    assert (found.verdict, found.reason) == (Verdict.PASS, "LimitMet")
    assert found.message == (
        "prediction error of Response time 1 h ahead 6 % ≤ 10 % (99 % interval 5 to 7.5 %, 20 samples, mean of "
        "AutoETS, Theta, 0.5 (0.4 to 0.62) of seasonal naive's error of 12 %, 91 % within the 95 % "
        "prediction interval)"
    )


@pytest.mark.parametrize(
    ("changes", "facts", "verdict", "reason"),
    [
        ({"rt__wape": 14.0, "rt__wape__lower": 11.0, "rt__wape__upper": 17.0}, {}, Verdict.FAIL, "LimitExceeded"),
        ({"rt__wape__upper": 11.0}, {}, Verdict.INCONCLUSIVE, "IntervalSpansLimit"),
        ({"rt__ratio__lower": 1.01, "rt__ratio": 1.2, "rt__ratio__upper": 1.4}, {}, Verdict.FAIL, "NoSkill"),
        ({"rt__ratio__lower": 1.0, "rt__ratio": 1.0, "rt__ratio__upper": 1.0}, {}, Verdict.FAIL, "NoSkill"),
        ({"rt__ratio__upper": 1.1}, {}, Verdict.INCONCLUSIVE, "SkillUnclear"),
        ({}, {"rt.warnings": "a store is down"}, Verdict.INCONCLUSIVE, "PartialData"),
        ({}, {"rt.reason": "ConstantSeries", "rt.why": "it never changes"}, Verdict.INCONCLUSIVE, "ConstantSeries"),
        (
            {"rt__wape": 14.0, "rt__wape__lower": 11.0, "rt__wape__upper": 17.0, "rt__ratio__upper": 1.1},
            {"rt.warnings": "a store is down"}, Verdict.FAIL, "LimitExceeded",
        ),
    ],
    ids=["off", "undecided", "no skill", "the same", "skill unclear", "warnings", "constant", "off anyway"],
)  # fmt: skip
def test_error_and_skill_decide_together(
    changes: dict[str, float], facts: dict[str, str], verdict: Verdict, reason: str
) -> None:
    found = judged(evidence(facts=facts, **changes))
    assert (found.verdict, found.reason) == (verdict, reason)


def test_no_skill_is_told_with_both_errors() -> None:
    found = judged(evidence(rt__ratio=1.2, rt__ratio__lower=1.1, rt__ratio__upper=1.3))
    assert found.message.startswith(
        "Response time is foretold no better than by the same time one season before: 1.2 (1.1 to 1.3) of seasonal "
        "naive's error of 12 % (prediction error of Response time 1 h ahead 6 % ≤ 10 %, 99 % interval"
    )


def test_without_a_ratio_skill_is_unclear() -> None:
    found = judged(evidence("rt.ratio", "rt.ratio.lower", "rt.ratio.upper"))
    assert (found.verdict, found.reason) == (Verdict.INCONCLUSIVE, "SkillUnclear")
    assert "cannot be compared with seasonal naive: rt.ratio is not known" in found.message


def test_bounds_that_are_not_known_prove_nothing() -> None:
    assert judged(evidence("rt.wape.lower", "rt.wape.upper")).verdict is Verdict.INCONCLUSIVE


def test_evidence_is_told_as_facts_and_the_bottleneck_once() -> None:
    first, second = (measure(claim(ranking=each), evidence()) for each in (True, False))
    assert isinstance(first, Measured)
    assert isinstance(second, Measured)
    assert (first.samples, first.effective_samples) == (20, 14)
    assert second.facts == {
        "model": "mean of AutoETS, Theta", "models": "AutoETS 6 %, Theta 7 %", "query": "sum(x)", "step": "5m",
        "naive_percent": 12, "coverage_percent": 91, "nominal_percent": 95, "ratio": 0.5, "ratio_lower": 0.4,
        "ratio_upper": 0.62, "history": "35 d", "needed": "21 d", "artifacts": ["s1-forecast.forecast"],
    }  # fmt: skip
    assert {name: first.facts[name] for name in set(first.facts) - set(second.facts)} == {
        "bottleneck": "CPU is full first", "bottlenecks": "1. CPU", "usl": "it scales",
    }  # fmt: skip


def test_what_became_of_earlier_forecasts_stands_beside_the_backtest() -> None:
    found = measure(claim(), evidence(kept={"rt": RECORD, "other": LiveRecord(1, None, None)}))
    assert isinstance(found, Measured)
    assert found.facts["live_record"] == live(RECORD)
    assert found.note.endswith(f"live: {live(RECORD)}")


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (RECORD, "8.1 % in 12 forecasts since 2026-11-01, seasonal naive 11 %, 90 % within the interval"),
        (LiveRecord(1, None, None), "no error known in 1 forecast"),
    ],
)
def test_a_live_record_in_words(record: LiveRecord, said: str) -> None:
    assert live(record) == said


@pytest.mark.parametrize(
    ("reason", "no_data"),
    [("NoSuchMetric", True), ("EmptySeries", True), ("TooLittleHistory", False), ("AllZero", False)],
)
def test_what_could_not_be_foretold_is_told_by_the_pods_reason(reason: str, no_data: bool) -> None:
    found = measure(claim(), evidence("rt.wape", facts={"rt.reason": reason, "rt.why": "for a reason"}))
    assert isinstance(found, NotMeasured)
    assert (found.reason, found.message, found.no_data) == (reason, "for a reason", no_data)
    assert found.facts["needed"] == "21 d"


def test_a_lost_pod_is_told_by_its_own_reason() -> None:
    found = measure(claim(), Evidence(lost_reason="OOMKilled", lost_message="it took too much"))
    assert isinstance(found, NotMeasured)
    assert (found.reason, found.message) == ("OOMKilled", "it took too much")
