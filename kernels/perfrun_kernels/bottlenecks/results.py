"""A ranking in the words and numbers of a result."""

from __future__ import annotations

from typing import Final

import numpy as np

from perfrun_kernels.bottlenecks.ranking import title
from perfrun_kernels.bottlenecks.values import Interval, Law, Missing, Ranked, Ranking
from perfrun_kernels.contract import Scalar, Table
from perfrun_kernels.pictures import svg

COLUMNS: Final = ["rank", "mean", "p95", "most"]
"""Columns of the table of bottlenecks: utilisation of each resource that has data, as ratios."""

_FAR: Final = 2.0
"""Throughput beyond this multiple of what was seen is far off: nobody has seen whether use goes on as a line."""

_MOST: Final = 1000


def scalars(ranking: Ranking) -> dict[str, Scalar]:
    """Return the law's parameters, and for each ranked resource the throughput at which it is full."""
    found: dict[str, Scalar] = {}
    law = ranking.law
    for name, unit in (("lambda", "1/s"), ("sigma", ""), ("kappa", ""), ("peak", "1/s"), ("concurrency", "")):
        if isinstance(law, Missing):
            found[f"usl.{name}"] = Scalar(unit, None, law.sentence)
        else:
            found |= _bounded(f"usl.{name}", unit, _part(law, name), "no peak of throughput is beyond doubt")
    for rank, each in enumerate(ranking.resources, start=1):
        why = each.missing.sentence if each.missing is not None else "an instance of it is full already"
        found |= _bounded(f"bottleneck.{rank}.full_at", "1/s", each.full_at, why)
    return found


def _part(law: Law, name: str) -> Interval | None:
    parts = {
        "lambda": law.lambda_, "sigma": law.sigma, "kappa": law.kappa, "peak": law.peak, "concurrency": law.at,
    }  # fmt: skip
    return parts[name]


def _bounded(name: str, unit: str, of: Interval | None, why: str) -> dict[str, Scalar]:
    if of is None:
        return {name: Scalar(unit, None, why)}
    upper = Scalar(unit, of.upper) if of.upper is not None else Scalar(unit, None, "no upper bound is known")
    return {name: Scalar(unit, of.value), f"{name}.lower": Scalar(unit, of.lower), f"{name}.upper": upper}


def facts(ranking: Ranking) -> dict[str, str]:
    """Return what is said: of the first resource, of all of them, and of scaling."""
    told = "; ".join(f"{rank}. {line(each, ranking)}" for rank, each in enumerate(ranking.resources, start=1))
    names = {f"bottleneck.{rank}": title(each) for rank, each in enumerate(ranking.resources, start=1)}
    return {"bottleneck": headline(ranking), "bottlenecks": told[:_MOST], "usl": scaling(ranking), **names}


def tables(ranking: Ranking) -> dict[str, Table]:
    """Return the utilisation of every resource that has data."""
    rows = [
        [float(rank), each.mean, each.p95, each.most]
        for rank, each in enumerate(ranking.resources, start=1)
        if each.standing != "unknown"
    ]
    return {"bottlenecks": Table(COLUMNS, rows)} if rows else {}


def headline(ranking: Ranking) -> str:
    """Return which resource saturates first, and how sure that is, in a sentence."""
    first = next(iter(ranking.resources), None)
    if first is None or first.standing == "unknown":
        why = first.missing.sentence if first is not None and first.missing is not None else "none was asked for"
        return f"no bottleneck can be named: {why}"
    if first.standing == "saturated":
        return f"{title(first)} is saturated at the loads that were seen: {_use(first)}{_waits(first)}"
    if first.standing == "steady":
        why = f" ({first.missing.sentence})" if first.missing is not None else ""
        return f"no resource is seen to fill up with throughput{why}; {title(first)} is used most: {_use(first)}"
    sure = "" if first.first is None else f", before all others in {first.first * 100:.0f} % of resamples"
    return f"{title(first)} saturates first, at {_full(first, ranking)}{sure}{_rivals(first, ranking)}"


def _rivals(first: Ranked, ranking: Ranking) -> str:
    if first.first is None or first.first >= ranking.confidence:
        return ""
    others = [each for each in ranking.resources if each is not first and (each.first or 0) > 1 - ranking.confidence]
    return f"; it may as well be {' or '.join(title(each) for each in others)}" if others else ""


def line(each: Ranked, ranking: Ranking) -> str:
    """Return what is known of one resource, in a line."""
    if each.standing == "unknown":
        return f"{each.name}: unknown ({each.missing.sentence if each.missing is not None else 'no data'})"
    errors = f", {each.errors:.3g} errors/s" if each.errors else ""
    full = f", full at {_full(each, ranking)}" if each.full_at is not None else ""
    standing = {"saturated": ", saturated", "steady": ", not growing with throughput"}.get(each.standing, "")
    return f"{title(each)}: {_use(each)}{standing}{full}{_waits(each)}{errors}"


def _use(each: Ranked) -> str:
    return f"{each.mean * 100:.0f} % used, {each.p95 * 100:.0f} % at the 95th percentile"


def _waits(each: Ranked) -> str:
    if not each.waits or each.waiting is None:
        return ""
    return f", work waits {each.waits * 100:.0f} % of the time ({each.waiting:.2g} on average)"


def _full(each: Ranked, ranking: Ranking) -> str:
    full, seen = each.full_at, ranking.seen
    if full is None or seen is None:
        return "an unknown throughput"
    upper = "…" if full.upper is None else svg.quantity(full.upper)
    told = f"{svg.quantity(full.value)}/s ({svg.quantity(full.lower)}–{upper})"
    if full.value <= seen:
        return f"{told}, less than the {svg.quantity(seen)}/s that were seen for a while"
    far = ", far beyond what was seen" if full.value > _FAR * seen else ""
    bent = "; sooner, as its use grows faster at high throughput" if each.bent else ""
    return f"{told}, {full.value / seen:.3g} times the most that was seen{far}{bent}"


def scaling(ranking: Ranking) -> str:
    """Return how throughput scales with concurrency, in a sentence."""
    law = ranking.law
    if isinstance(law, Missing):
        return f"scaling is not known: {law.sentence}"
    costs = f"contention {law.sigma.value * 100:.2g} %, coherency {law.kappa.value:.2g}"
    if law.peak is not None and law.at is not None:
        top = f"{svg.quantity(law.peak.value)}/s ({svg.quantity(law.peak.lower)}–{_upper(law.peak)})"
        most = _most(ranking)
        beyond = f", beyond the {svg.quantity(most)} that were seen" if law.at.value > most else ""
        return f"throughput peaks at {top} with {law.at.value:.3g} requests in flight{beyond} ({costs})"
    if law.sigma.lower > 0:
        ceiling = law.lambda_.value / law.sigma.value
        return f"no peak of throughput is beyond doubt; contention bounds it at {svg.quantity(ceiling)}/s ({costs})"
    return f"no peak of throughput is beyond doubt ({costs}), up to {svg.quantity(_most(ranking))} requests in flight"


def _upper(of: Interval) -> str:
    return "…" if of.upper is None else svg.quantity(of.upper)


def _most(ranking: Ranking) -> float:
    n = ranking.concurrency
    return 0.0 if isinstance(n, Missing) else float(np.nanmax(n))
