"""A row's interval out of what a pod found, and all that speaks against a row whatever its interval is."""

from __future__ import annotations

from typing import Any

import pytest

from perfrun.api.feature import Policy
from perfrun.api.plan import Claim
from perfrun.api.verdicts import Verdict
from perfrun.capabilities.base import Evidence, Measured, NotMeasured, Refuted, Unproven
from perfrun.capabilities.telemetry_values import measure
from perfrun.judging.judge import Judgement, judge
from perfrun_kernels.contract import Attachment, Result, Scalar

DAY = 86400.0
STARTED = 1_800_000_000.0
SCALARS = {
    "cpu.interval": 15.0, "cpu.interval.p99": 15.2, "cpu.interval.max": 15.9, "cpu.present": 3.0, "cpu.expected": 3.0,
    "cpu.series": 6.0, "cpu.samples": 1440.0, "cpu.complete": 1.0, "cpu.gaps": 0.0, "cpu.jitter": 0.2,
    "cpu.resets": 1.0, "cpu.duplicates": 0.0, "cpu.stale": 2.0, "cpu.skew": 0.01, "cpu.oldest": 8 * DAY,
    "retention.configured": 15 * DAY,
}  # fmt: skip
FACTS = {"window": "recorded", "prometheus": "3.5.0", "cpu.selector": "node_cpu", "cpu.reason": "", "cpu.why": "fine"}


def claim(per: str = "node", limit: float = 15, unit: str = "s") -> Claim:
    return Claim(
        subject="telemetry.recorded", label="sampling interval of CPU", comparator="<=", limit=limit, unit=unit,
        stage="s1-telemetry",
        parameters={
            "key": "cpu", "name": "CPU", "per": per, "retention_s": 7 * DAY, "interval_s": 15.0, "period_s": 3600.0,
            "completeness": 0.99,
        },
    )  # fmt: skip


def evidence(*lacking: str, facts: dict[str, Any] | None = None, **scalars: float) -> Evidence:
    """Return what a pod found; in names of scalars, two underscores stand for a point."""
    numbers = SCALARS | {name.replace("__", "."): value for name, value in scalars.items()}
    result = Result(
        run="run", stage="s1-telemetry", attempt=1, outcome="Completed", started=STARTED, finished=STARTED + 3600,
        scalars={
            name: Scalar("", None, f"{name} is not known") if name in lacking else Scalar("", value)
            for name, value in numbers.items()
        },
        facts=FACTS | (facts or {}), attachments={"telemetry": Attachment("image/svg+xml", "")},
    )  # fmt: skip
    return Evidence(result=result, pod="pod-1")


def judged(found: Evidence, asked: Claim | None = None) -> Judgement:
    asked = asked or claim()
    return judge(asked, measure(asked, found), Policy(), 0.99)


def test_a_row_that_is_recorded_as_stated_passes_and_says_on_what() -> None:
    found = judged(evidence())
    assert (found.verdict, found.reason) == (Verdict.PASS, "LimitMet")
    assert found.message == (
        "sampling interval of CPU 15 s ≤ 15 s (1440 samples, 6 series of 3 of 3 nodes, 100 % complete, in the 1 h "
        "before the run, kept for 15 d by its configuration, oldest sample 8 d old)"
    )


def test_the_value_is_exact_and_in_the_unit_of_the_limit() -> None:
    found = measure(claim(limit=15_000, unit="ms"), evidence())
    assert isinstance(found, Measured)
    assert (found.value, found.lower, found.upper, found.samples) == (15_000, 15_000, 15_000, 1440)
    assert (found.source.name, found.window.start.timestamp()) == ("pod-1", STARTED)
    assert found.facts == {
        "series": 6, "present": 3, "expected": 3, "samples": 1440, "gaps": 0, "resets": 1, "duplicates": 0, "stale": 2,
        "complete": 1, "interval_p99_s": 15.2, "interval_max_s": 15.9, "jitter_s": 0.2, "skew_s": 0.01,
        "oldest_s": 8 * DAY, "selector": "node_cpu", "why": "fine", "window": "recorded", "prometheus": "3.5.0",
        "retention": "15 d", "artifacts": ["s1-telemetry.telemetry"],
    }  # fmt: skip


def test_which_hour_was_judged_is_said() -> None:
    found = measure(claim(), evidence(facts={"window": "observed"}))
    assert isinstance(found, Measured)
    assert "in the 1 h that was observed" in found.note


MISSING = {"cpu.missing": "node-3"}
GAPS = {"cpu.gaps.where": "node-2 from 2026-01-01T00:00:00Z for 500 s"}


@pytest.mark.parametrize(
    ("changes", "facts", "reason", "said"),
    [
        ({"cpu__present": 2.0}, MISSING, "MissingSeries", "CPU is recorded for 2 of 3 nodes, not for node-3"),
        ({"cpu__complete": 0.9}, GAPS, "Gaps", "90 % of the samples of its worst series, fewer than 99 %: node-2 from"),
        (
            {"retention__configured": 3 * DAY, "cpu__oldest": 3 * DAY}, {}, "RetentionTooShort",
            "Prometheus keeps CPU for 3 d, not for 7 d",
        ),
    ],
    ids=["missing", "gaps", "kept shorter"],
)  # fmt: skip
def test_a_row_fails_by_more_than_its_interval_and_the_interval_is_told(
    changes: dict[str, float], facts: dict[str, str], reason: str, said: str
) -> None:
    found = judged(evidence(facts=facts, **changes))
    assert (found.verdict, found.reason) == (Verdict.FAIL, reason)
    assert said in found.message
    assert "(sampling interval of CPU 15 s ≤ 15 s" in found.message


@pytest.mark.parametrize(
    ("lacking", "changes", "facts", "reason", "said"),
    [
        ((), {}, {"cpu.reason": "ShortHistory", "cpu.why": "it is young"}, "ShortHistory", "CPU: it is young"),
        (
            (), {"cpu__complete": 0.2}, {"cpu.reason": "ShortHistory", "cpu.why": "it is young"}, "ShortHistory",
            "it is young",
        ),
        ((), {}, {"warnings": "a store is down"}, "PartialData", "may lack something: a store is down"),
        ((), {"cpu__skew": -40.0}, {}, "ClockSkew", "dated 40 s before they were scraped"),
        ((), {"cpu__skew": 40.0}, {}, "ClockSkew", "dated 40 s after they were scraped"),
        (
            ("retention.configured",), {"cpu__oldest": DAY}, {"retention.why": "it is no Prometheus"},
            "RetentionUnknown", "the oldest sample of CPU is 24 h old, and it is no Prometheus",
        ),
        (
            (), {"cpu__oldest": 3 * DAY}, {"retention.size_limited": True}, "RetentionUnproven",
            "is 3 d old, and the server also deletes by size",
        ),
    ],
    ids=["short", "short with gaps", "warnings", "late", "early", "unknown retention", "by size"],
)  # fmt: skip
def test_what_is_not_known_is_no_pass(
    lacking: tuple[str, ...], changes: dict[str, float], facts: dict[str, Any], reason: str, said: str
) -> None:
    found = judged(evidence(*lacking, facts=facts, **changes))
    assert (found.verdict, found.reason) == (Verdict.INCONCLUSIVE, reason)
    assert said in found.message


@pytest.mark.parametrize(
    ("lacking", "changes", "facts"),
    [
        ((), {"cpu__oldest": 3 * DAY}, {"retention.size_limited": False}),
        ((), {}, {"retention.size_limited": True}),
        (("retention.configured",), {}, {"retention.why": "it is no Prometheus"}),
        (("cpu.skew",), {}, {}),
    ],
    ids=["young server", "limited by size but old", "unknown but old", "no dates to compare"],
)
def test_retention_is_proven_by_configuration_or_by_what_is_there(
    lacking: tuple[str, ...], changes: dict[str, float], facts: dict[str, Any]
) -> None:
    assert judged(evidence(*lacking, facts=facts, **changes)).verdict is Verdict.PASS


@pytest.mark.parametrize("changes", [{}, {"cpu__complete": 0.5}, {"retention__configured": DAY}, {"cpu__skew": 99.0}])
def test_an_interval_that_is_too_long_is_told_before_all_else(changes: dict[str, float]) -> None:
    found = judged(evidence(cpu__interval=30.0, **changes))
    assert (found.verdict, found.reason) == (Verdict.FAIL, "LimitExceeded")


def test_series_that_belong_to_nobody_are_never_missing() -> None:
    found = measure(claim("any"), evidence(cpu__present=0.0, cpu__expected=1.0))
    assert isinstance(found, Measured)
    assert found.note.startswith("6 series, ")


def test_what_contradicts_a_row_comes_before_what_leaves_it_open() -> None:
    facts = {"warnings": "a store is down"} | MISSING
    assert isinstance(measure(claim(), evidence(facts=facts, cpu__present=2.0)), Refuted)
    assert isinstance(measure(claim(), evidence(facts=facts)), Unproven)


@pytest.mark.parametrize(
    ("facts", "reason", "message", "no_data"),
    [
        ({"cpu.reason": "NoSuchMetric", "cpu.why": "there is none"}, "NoSuchMetric", "there is none", True),
        ({"cpu.reason": "NoGPUNode", "cpu.why": "no node has one"}, "NoGPUNode", "no node has one", False),
        ({}, "TooFewSamples", "fine", False),
        ({"cpu.why": ""}, "TooFewSamples", "cpu.interval is not known", False),
    ],
)
def test_without_an_interval_nothing_is_measured(
    facts: dict[str, str], reason: str, message: str, no_data: bool
) -> None:
    found = measure(claim(), evidence("cpu.interval", facts=facts))
    assert isinstance(found, NotMeasured)
    assert (found.reason, found.message, found.no_data, found.broken) == (reason, message, no_data, False)
    assert found.facts["series"] == 6


def test_a_pod_that_was_lost_or_could_not_measure_is_told_by_its_own_reason() -> None:
    lost = measure(claim(), Evidence(lost_reason="PodLost", lost_message="it is gone"))
    refused = Result(
        "run", "s1-telemetry", 1, "Unmeasurable", STARTED, STARTED, "MetricsUnavailable", "nobody answers"
    )  # fmt: skip
    unreachable = measure(claim(), Evidence(result=refused, pod="pod-1"))
    assert isinstance(lost, NotMeasured)
    assert isinstance(unreachable, NotMeasured)
    assert [(each.reason, each.message) for each in (lost, unreachable)] == [
        ("PodLost", "it is gone"), ("MetricsUnavailable", "nobody answers"),
    ]  # fmt: skip
