"""What becomes of a kept forecast: (forecast, what happened, now) → its status, and when to look again.

It waits until all of it has happened and is recorded, is compared with that once, and is at rest. Where what happened
cannot be read it is tried again for a while and then given up, with the reason: no score is made of half of it.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

from perfrun.api.base import JSON
from perfrun.api.kept import ForecastSpec, ForecastStatus
from perfrun.judging.wording import number
from perfrun.lifecycle.conditions import Condition, Truth, merged
from perfrun.lifecycle.values import Decision, Emit, ForecastObservation, Kept, Missing
from perfrun.measuring.scoring import Foretold, Score, score

SETTLING: Final = dt.timedelta(minutes=1)
"""How long after its last point a forecast is due: samples are scraped, sent on and ingested a little later."""

AGAIN: Final = dt.timedelta(minutes=10)
"""How soon what could not be read is looked for again."""

GRACE: Final = dt.timedelta(hours=24)
"""How long after it was due a forecast is given up; a server that is down over a night costs none."""

LEAST: Final = 0.9
"""Share of the points whose value must be known; the worst may be among those that are not."""

_HOPELESS: Final = ("AllZero",)
"""Reasons that no later look changes."""

_DIGITS: Final = 2


def due(spec: ForecastSpec) -> dt.datetime:
    """Return when a forecast is compared with what happened."""
    return spec.points[-1].at + SETTLING


def decide_forecast(kept: Kept, seen: ForecastObservation | None, now: dt.datetime) -> Decision[ForecastStatus]:
    """Return the forecast's status; ``seen`` is None before it is due."""
    when = due(kept.spec)
    if kept.status.state != "Waiting" or kept.meta.deleting:
        return Decision(kept.status)
    if now < when or seen is None:
        why = Missing("NotDue", f"what happened is known and compared after {when:%Y-%m-%d %H:%M:%S} UTC")
        return Decision(_waiting(kept, why, now), look_at=max(when, now))
    found = _compared(kept.spec, seen)
    if isinstance(found, Score):
        return _scored(kept, found, now)
    if found.reason in _HOPELESS or now >= when + GRACE:
        return _given_up(kept, found, now)
    return Decision(_waiting(kept, found, now), look_at=min(now + AGAIN, when + GRACE))


def _compared(spec: ForecastSpec, seen: ForecastObservation) -> Score | Missing:  # noqa: PLR0911 -- one return a reason
    target, answer = seen.target, seen.answer
    if isinstance(target, Missing):
        return target
    if target.prometheus is None or answer is None:
        text = f"PerfTarget {spec.target_ref} names no Prometheus any more; set spec.prometheus.url again"
        return Missing("NoPrometheus", text)
    if answer.error:
        return Missing("MetricsUnavailable", answer.error)
    if answer.warnings:
        return Missing("PartialData", f"Prometheus answered with a warning: {answer.warnings[0]}")
    if len(answer.series) > 1:
        text = f"the query gives {len(answer.series)} series now; expected the one that was foretold"
        return Missing("TooManySeries", text)
    points = next(iter(answer.series.values()), ())
    foretold = [Foretold(each.at.timestamp(), each.mean, each.lower, each.upper, each.naive) for each in spec.points]
    found = score(foretold, {round(at): value for at, value in points})
    if found.points < LEAST * len(foretold):
        text = f"{found.points} of {len(foretold)} points have a value in Prometheus; expected at least {LEAST:.0%}"
        return Missing("TooLittleData", text)
    if found.wape is None:
        return Missing("AllZero", "every value turned out to be 0, and an error in percent of nothing has no meaning")
    return found


def _scored(kept: Kept, found: Score, now: dt.datetime) -> Decision[ForecastStatus]:
    wape, naive = found.wape, found.naive_wape
    message = _told(kept.spec, found)
    status = kept.status.replace(
        state="Scored", scored_at=now, wape=_rounded(wape), naive_wape=_rounded(naive),
        coverage=_rounded(found.coverage), points=found.points, covered=found.covered, absolute_error=found.error,
        absolute_naive_error=found.naive, absolute_actual=found.actual, observed_generation=kept.meta.generation,
        message=message, conditions=_condition(kept, "True", "Scored", message, now),
    )  # fmt: skip
    return Decision(status, (Emit("Normal", "Scored", message),))


def _told(spec: ForecastSpec, found: Score) -> str:
    """Return how a forecast did, beside its backtest, in one sentence."""
    before = spec.backtest
    held = f" (backtest {number(before.wape)} %)" if before.wape is not None else ""
    naive = f", seasonal naive {number(found.naive_wape)} %" if found.naive_wape is not None else ""
    nominal = f"the {number(before.nominal)} % interval" if before.nominal is not None else "its interval"
    return (
        f"WAPE {number(found.wape or 0.0)} %{held}{naive}, {found.covered} of {found.points} points within {nominal}"
        + (f", {len(spec.points) - found.points} points unknown" if found.points < len(spec.points) else "")
    )


def _given_up(kept: Kept, why: Missing, now: dt.datetime) -> Decision[ForecastStatus]:
    message = f"given up: {why.message}"[:1024]
    status = kept.status.replace(
        state="GivenUp", observed_generation=kept.meta.generation, message=message,
        conditions=_condition(kept, "False", why.reason, message, now),
    )  # fmt: skip
    return Decision(status, (Emit("Warning", "ForecastGivenUp", message),))


def _waiting(kept: Kept, why: Missing, now: dt.datetime) -> ForecastStatus:
    return kept.status.replace(
        observed_generation=kept.meta.generation, message=why.message[:1024],
        conditions=_condition(kept, "False", why.reason, why.message, now),
    )  # fmt: skip


def _condition(kept: Kept, truth: Truth, reason: str, message: str, now: dt.datetime) -> tuple[dict[str, JSON], ...]:
    return merged(kept.status.conditions, (Condition("Scored", truth, reason, message),), kept.meta.generation, now)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
