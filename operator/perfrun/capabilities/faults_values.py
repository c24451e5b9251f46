"""How a load during which nodes failed becomes values: the time to rebalance, the floor of throughput, drops.

t0 is the injection on the first node. The baseline is what the same load got just before it. "During failover" is
everything from t0 to the end of the load: nodes that come back move traffic as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import attrs

from perfrun.api.base import JSON
from perfrun.api.plan import Claim
from perfrun.api.run import TimeWindow
from perfrun.capabilities.base import Evidence, Measured, NotMeasured
from perfrun.capabilities.books import Books, job, read, saturated, strangers
from perfrun.capabilities.drops import measure_drops
from perfrun.capabilities.evidence import moment
from perfrun.capabilities.failing import Failing, failing
from perfrun.capabilities.load_values import MOST_STRANGERS, unknown_servers
from perfrun.measuring.failover import Normal, floor, floor_window, recovery, spread_bound
from perfrun.measuring.spread import bounded_spread
from perfrun.measuring.timeline import Timeline, grouped
from perfrun.measuring.warmup import steady_state

_ALL_SEGMENTS: Final = (0, 1, 2)
_FAILOVER: Final = (1, 2)
_FEWEST_BASELINE: Final = 20
"""Windows of baseline without which nothing is normal."""

_HICCUP: Final = 0.02
"""Seconds of traffic that may wait at any time: what a scheduler's hiccup leaves."""

_TWO: Final = 2


@attrs.frozen
class Case:
    """A claim with the evidence on it, once both the load and the fault are known to be whole."""

    claim: Claim
    evidence: Evidence
    books: Books
    fault: Failing
    baseline: Timeline
    confidence: float

    def number(self, name: str) -> float:
        """Return a parameter of the claim."""
        return float(self.claim.parameters[name])

    def nothing(self, reason: str, message: str, **facts: JSON) -> NotMeasured:
        """Return that there is no value, with what is known all the same."""
        return NotMeasured(
            reason=reason, message=message, source=job(self.evidence),
            facts=self.books.facts() | self.fault.facts | facts,
        )  # fmt: skip


def measure(claim: Claim, evidence: Evidence, confidence: float) -> Measured | NotMeasured:
    """Return the value that the evidence gives for a claim of fault tolerance, in the claim's unit."""
    books = read(evidence)
    if isinstance(books, NotMeasured):
        return books
    late = saturated(evidence, books, _ALL_SEGMENTS, None, books.timeline.seconds)
    if late is not None:
        return late
    fault = failing(evidence, books)
    if isinstance(fault, NotMeasured):
        return fault
    planned = fault.run.start + float(claim.parameters["baseline"])
    before = fault.run.between(fault.run.start, min(planned, fault.begins))
    case = Case(claim, evidence, books, fault, before, confidence)
    key = claim.subject.partition(".")[2]
    if key == "dropped":
        return measure_drops(claim, evidence, books, fault, confidence)
    normal = _normal(case)
    if isinstance(normal, NotMeasured):
        return normal
    return _rebalance(normal) if key == "rebalance_time" else _floor(normal)


def _normal(case: Case) -> Case | NotMeasured:
    """Return the case with the warm-up cut from its baseline, or that there is no steady state to compare with."""
    windows = case.baseline.windows
    if len(windows) < _FEWEST_BASELINE or case.baseline.goodput() <= 0:
        message = (
            f"only {len(windows)} windows with {case.baseline.goodput():.0f} good answers per second lay before it"
        )
        return case.nothing("NoBaseline", message)
    steady = steady_state([float(window.good) for window in windows], rising=True)
    if not steady.found:
        message = f"no steady state was found: normal throughput drifted by {abs(steady.drift):.0%} before the fault"
        return case.nothing("NoSteadyState", message)
    kept = attrs.evolve(
        case.baseline, start=case.baseline.start + steady.cut * case.baseline.seconds, windows=windows[steady.cut :]
    )  # fmt: skip
    return attrs.evolve(case, baseline=kept)


def _floor(case: Case) -> Measured | NotMeasured:
    fault, baseline = case.fault, case.baseline
    size = floor_window(baseline.goodput(), case.claim.limit / 100, baseline.seconds)
    ends = _load_end(case)
    found = floor(fault.run.between(fault.begins, ends), baseline, size, case.confidence)
    late = case.books.most_late(_FAILOVER)
    if found is None:
        message = f"the load ended before one window of {size * baseline.seconds:.1f} s had passed after the fault"
        return case.nothing("TooShort", message)
    return Measured(
        # What the generators sent late in that window is no fault of the servers.
        value=found.share * 100, lower=found.lower * 100, upper=(found.upper + late / found.seconds) * 100,
        samples=found.answers,
        effective_samples=float(found.answers), window=TimeWindow(start=moment(fault.begins), end=moment(ends)),
        source=job(case.evidence),
        facts=case.books.facts() | fault.facts | {
            "normal_per_second": round(found.baseline, 1), "lowest_per_second": round(found.lowest, 1),
            "lowest_window_seconds": round(found.seconds, 3),
            "lowest_after_seconds": round(found.at - fault.begins, 3),
            "generator_most_late_seconds": round(late, 4),
            "baseline_seconds": round(len(baseline.windows) * baseline.seconds, 3),
        },
        note=(
            f"lowest {found.seconds:.1f} s, {found.at - fault.begins:.1f} s after the failure: "
            f"{found.lowest:.0f} of normally {found.baseline:.0f} good answers per second"
        ),
    )  # fmt: skip


def _rebalance(case: Case) -> Measured | NotMeasured:
    fault, baseline = case.fault, case.baseline
    unknown, total = strangers(baseline, case.evidence.serving)
    if total and sum(unknown.values()) > MOST_STRANGERS * total:
        return case.nothing("UnknownServers", unknown_servers(unknown, total))
    if not fault.remaining:
        return case.nothing("NotEnoughNodes", "no serving node is left that traffic could go to")
    floor_share, rate = case.number("floor") / 100, baseline.goodput()
    size = floor_window(rate, floor_share, baseline.seconds)
    resolution = size * baseline.seconds
    # The grid begins with the window in which the fault lies, for that may show at once.
    first = fault.run.start + math.floor((fault.begins - fault.run.start) / baseline.seconds + 1e-9) * baseline.seconds
    observed = grouped(fault.run.between(first, fault.ends), size)
    normal = _itself(case, floor_share * rate, resolution)
    found = recovery(observed, fault.begins, normal, case.number("sustained"))
    last = fault.last_answer()
    facts: dict[str, JSON] = {
        "resolution_seconds": round(resolution, 3), "bad_windows": found.bad, "bad_by_cause": dict(found.causes),
        "last_bad_after_seconds": round(found.last_bad, 3),
        "last_answer_of_failed_nodes_after_seconds": None if last is None else round(max(0.0, last - fault.begins), 3),
        "least_goodput_per_second": round(normal.goodput, 1), "most_waiting": round(normal.waiting, 1),
        "largest_spread_percent": None if normal.spread is None else round(normal.spread * 100, 1),
        "normal_per_second": round(rate, 1),
    }  # fmt: skip
    seen = len(observed.windows) * resolution
    if found.seconds is None:
        # A stretch that began after the last bad window may have gone on past the end of the observation.
        least = found.last_bad if found.bad else max(0.0, seen - case.number("sustained"))
        bounds = max(0.0, least - resolution), math.inf
        return _took(case, least, bounds, facts, _why_not(found.causes, fault.ends - fault.begins))
    # What was bad last was so for some part of its window; one window more for clocks that differ.
    bounds = max(0.0, found.seconds - resolution), found.seconds + baseline.seconds
    told = (
        "no window was bad" if not found.bad else f"windows of {resolution:.1f} s that were bad before it: {found.bad}"
    )
    if found.last_bad > found.seconds:
        told += f", and bad again until {found.last_bad:.0f} s"
    return _took(case, found.seconds, bounds, facts, told)


def _took(
    case: Case, seconds: float, bounds: tuple[float, float], facts: dict[str, JSON], note: str
) -> Measured:  # fmt: skip
    during = case.fault.run.between(case.fault.begins, case.fault.ends)
    answers = sum(window.good for window in during.windows)
    return Measured(
        value=seconds, lower=bounds[0], upper=bounds[1], samples=answers, effective_samples=float(answers),
        window=TimeWindow(start=moment(case.fault.begins), end=moment(case.fault.ends)), source=job(case.evidence),
        facts=case.books.facts() | case.fault.facts | facts, note=note,
    )  # fmt: skip


def _why_not(causes: Mapping[str, int], lasted: float) -> str:
    words = {
        "goodput": "too few good answers", "lost": "lost requests", "spread": "too uneven a spread",
        "backlog": "a backlog", "idle": "a node without a part",
    }  # fmt: skip
    found = [f"{words[cause]} {count} times" for cause, count in sorted(causes.items())]
    return f"it had not rebalanced when the fault ended after {lasted:.0f} s: {', '.join(found)}"


def _itself(case: Case, goodput: float, resolution: float) -> Normal:
    """Return what windows of ``resolution`` seconds must be like, from what the baseline was like.

    The spread may be what it was before, and what chance adds to windows so short: connections, not requests, are
    what a Service spreads, so that at worst each of the connections is a cluster of its own.
    """
    baseline, remaining = case.baseline, case.fault.remaining
    waiting = max(window.waiting for window in baseline.windows)
    most_waiting = max(2.0 * waiting, _HICCUP * baseline.goodput())
    nodes = [each.node for each in case.evidence.serving]
    usual = bounded_spread([window.served for window in baseline.windows], nodes, case.confidence)
    if usual is None or len(remaining) < _TWO:
        return Normal(goodput, remaining, None, most_waiting)
    answers = goodput * resolution
    per_connection = min(case.number("requests_per_connection"), answers / case.number("connections"))
    largest = spread_bound(usual.value, max(usual.clustering, per_connection), answers, len(remaining))
    return Normal(goodput, remaining, largest, most_waiting)


def _load_end(case: Case) -> float:
    """Return when the load's schedule was over."""
    return case.fault.run.start + case.number("baseline") + case.number("fault") + case.number("tail")
