"""Reading one history: the means of equal steps, evaluated by the server, from the oldest sample to the present."""

from __future__ import annotations

from typing import Final

import attrs
import numpy as np

from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.forecast.parameters import Metric
from perfrun_kernels.forecast.past import Floats
from perfrun_kernels.prometheus import RawSeries, Server

SETTLE_SECONDS: Final = 30.0
"""How old the last step's end is at least: later samples may still be on their way."""

_PIECE_SECONDS: Final = 7 * 86_400.0
_LEAST_PIECE_STEPS: Final = 24
_LOOK_AHEAD_SECONDS: Final = 86_400.0
_LOOK_BACK_SECONDS: Final = 600.0
"""How long, at most, Prometheus takes an older sample for the present value, with room."""

_INNER_STEPS: Final = 20
_NEVER_NEGATIVE: Final = frozenset({"s", "ms", "B", "bytes", "cores", "ratio", "%", "requests", "GiB", "MiB"})


@attrs.frozen(eq=False)
class History:
    """One series by steps of ``step_s``: ``at`` are their ends in seconds since the epoch, a missing value is NaN.

    It begins with its first value and ends with the last step that is over, whether that has a value or not.
    ``not_numbers`` counts values that the server gave and that were none.
    """

    query: str
    step_s: float
    at: Floats
    values: Floats
    not_numbers: int

    @property
    def seconds(self) -> float:
        """How much time it covers."""
        return self.values.size * self.step_s


def resolve(query: str, step_s: float) -> str:
    """Return the query with which a server gives the mean over each step.

    Its ``$window`` becomes the step. One without is taken for a value of each moment, and averaged over the step.
    """
    if "$window" in query:
        return query.replace("$window", f"{step_s:.0f}s")
    return f"avg_over_time(({query})[{step_s:.0f}s:{max(1.0, step_s / _INNER_STEPS):.0f}s])"


def read(server: Server, metric: Metric, lookback_s: float, now: float) -> History:
    """Return the history of the ``lookback_s`` seconds before ``now``, which is the server's own present.

    Raises:
        UnmeasurableError: there is no such history, or one that cannot be foretold; NoSuchMetric, EmptySeries,
            TooManySeries, NotANumber, AllZero, NegativeRate, FutureHistory and StaleHistory say why, or what
            the server's failure says.
    """
    step = metric.step_s
    last = np.floor((now - SETTLE_SECONDS) / step) * step
    query = _chosen(server, [resolve(each, step) for each in (metric.query, *metric.otherwise)], last)
    first = np.ceil((now - lookback_s) / step) * step
    _present(server, query, now, step)
    values = _only(_pieces(server, query, first, last, step), query)
    at = np.arange(round((last - first) / step) + 1) * step + first
    whole = np.full(at.size, np.nan)
    whole[np.round((values.times - first) / step).astype(int)] = values.values
    numbers = np.isfinite(whole)
    if not numbers.any():
        msg = f"none of the {values.values.size} values of {query} is a number: correct the query, 0/0 may be in it"
        raise UnmeasurableError("NotANumber", msg)
    begins = int(np.argmax(numbers))
    whole[~numbers] = np.nan
    history = History(query, step, at[begins:], whole[begins:], int((~np.isfinite(values.values)).sum()))
    _sound(history, metric, now)
    return history


def _chosen(server: Server, queries: list[str], at: float) -> str:
    """Return the first query that has a value at a moment, else the first of all."""
    if len(queries) == 1:
        return queries[0]
    return next((each for each in queries if server.instant(each, at)), queries[0])


def _pieces(server: Server, query: str, first: float, last: float, step: float) -> list[list[RawSeries]]:
    """Read piece by piece; a server that finds one too large is asked for smaller ones."""
    pieces: list[list[RawSeries]] = []
    length, start = max(_PIECE_SECONDS, _LEAST_PIECE_STEPS * step), first
    while start <= last:
        try:
            pieces.append(server.range(query, start, min(last, start + length - step), step))
        except UnmeasurableError as error:
            if error.reason not in {"MetricsLimited", "MetricsTimeout"} or length / 2 < _LEAST_PIECE_STEPS * step:
                raise
            length = np.ceil(length / 2 / step) * step
            continue
        start += length
    return pieces


def _only(pieces: list[list[RawSeries]], query: str) -> RawSeries:
    found = {tuple(sorted(each.labels.items())): each.labels for piece in pieces for each in piece}
    if not found:
        msg = f"{query} gives no series over the lookback: correct the query, or have the metric recorded"
        raise UnmeasurableError("NoSuchMetric", msg)
    if len(found) > 1:
        told = ", ".join(str(dict(labels)) for labels in list(found.values())[:3])
        msg = f"{query} gives {len(found)} series ({told}); expected one: put sum(…) or avg(…) around it"
        raise UnmeasurableError("TooManySeries", msg)
    parts = [each for piece in pieces for each in piece]
    times, values = (np.concatenate([getattr(each, name) for each in parts]) for name in ("times", "values"))
    if not times.size:
        msg = f"{query} gives a series without a single value: look at what records it"
        raise UnmeasurableError("EmptySeries", msg)
    return RawSeries(next(iter(found.values())), times, values)


def _present(server: Server, query: str, now: float, step: float) -> None:
    """Refuse a history that has values in the future."""
    start = now + _LOOK_BACK_SECONDS + 2 * step
    later = [each for each in server.range(query, start, start + _LOOK_AHEAD_SECONDS, step) if each.times.size]
    if later:
        ahead = max(float(each.times[-1]) for each in later) - now
        msg = (
            f"{query} has values as late as {duration(ahead)} after the server's present: "
            "set the clocks of whoever dates the samples right"
        )
        raise UnmeasurableError("FutureHistory", msg)


def _sound(history: History, metric: Metric, now: float) -> None:
    known = history.values[np.isfinite(history.values)]
    if not known.any():
        msg = f"all {known.size} values of {history.query} are 0, so that an error of 10 % of them means nothing"
        raise UnmeasurableError("AllZero", msg)
    negative = int((known < 0).sum())
    if negative and (metric.unit in _NEVER_NEGATIVE or "/" in metric.unit):
        msg = (
            f"{negative} of {known.size} values of {history.query} are negative, which {metric.unit} never are: "
            "take rate(…) of counters, not deriv(…) or delta(…)"
        )
        raise UnmeasurableError("NegativeRate", msg)
    age = now - float(history.at[np.isfinite(history.values)][-1])
    if age > metric.horizon_s / 2 + history.step_s:
        msg = (
            f"the last value of {history.query} is {duration(age)} old, too old to foretell "
            f"{duration(metric.horizon_s)} from it: look whether it is still recorded"
        )
        raise UnmeasurableError("StaleHistory", msg)


def duration(seconds: float) -> str:
    """Return a length of time for people."""
    for size, unit in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.0f} s"


def deployments(server: Server, query: str, history: History) -> tuple[float, ...]:
    """Return when a query's values changed, or a series came up beside others: the moments of deployments.

    Raises:
        UnmeasurableError: the server's failure.
    """
    asked = query.replace("$window", f"{history.step_s:.0f}s")
    first, last = float(history.at[0]), float(history.at[-1])
    moments: set[float] = set()
    for each in server.range(asked, first, last, history.step_s):
        changed = np.flatnonzero(np.diff(each.values) != 0) + 1
        moments |= set(each.times[changed].tolist())
        if each.times.size and each.times[0] > first:
            moments.add(float(each.times[0]))
    return tuple(sorted(moments))
