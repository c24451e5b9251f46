"""The books of a load: what all of its generators handed in together, refused where it is not whole.

Nothing is measured on a load that was not the one that was asked for: a generator that could not keep to the
schedule, was stopped, or lost requests from its account ends every claim before the server is looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs

from perfrun.api.base import JSON
from perfrun.api.faults import ServingNode
from perfrun.api.run import Source, TimeWindow
from perfrun.capabilities.base import Evidence, NotMeasured
from perfrun.capabilities.evidence import moment, place, source
from perfrun.measuring import histograms, timeline
from perfrun.measuring.histograms import Histogram, HistogramError
from perfrun.measuring.ledger import Ledger, LedgerError, generator_verdict, merge
from perfrun.measuring.timeline import Timeline, Window
from perfrun_kernels.contract import Result

OUTCOMES: Final = ("ok", "error", "timeout", "never_sent", "in_flight")
PER_DOUBLING: Final = 8
"""Buckets for each doubling of the coarse latencies by window, which begin at a microsecond."""

COARSE_SCALE: Final = 1e-6

_SERVED: Final = "served:"
_ERROR: Final = "error."
_BUSY: Final = f"{_ERROR}never sent: all connections were busy"


@attrs.frozen
class Books:
    """A load as all generators saw it together.

    ``timeline`` names servers as they name themselves. ``unsent`` are requests that never went out for the
    generators' own sake, ``held`` those that never did because every connection waited for the server.
    """

    shards: tuple[Result, ...]
    ledger: Ledger
    timeline: Timeline
    unsent: int
    held: int

    def histogram(self, name: str) -> Histogram:
        """Return a histogram of all shards together.

        Raises:
            HistogramError: a shard has none of that name, or one that cannot be read.
        """
        parts = []
        for shard in self.shards:
            found = shard.histograms.get(name)
            if found is None:
                msg = f"a generator handed in no histogram {name!r}"
                raise HistogramError(msg)
            parts.append(histograms.decode(found.data, found.unit, found.scale))
        return histograms.merge(parts)

    def most_late(self, segments: Sequence[int]) -> float:
        """Return by how much the generators were late at worst, in seconds: they sent nothing for so long.

        Raises:
            HistogramError: as for a single histogram.
        """
        late = histograms.merge([self.histogram(f"lateness.{each}") for each in segments])
        return late.quantile(1.0) if late.total else 0.0

    def latencies(self) -> list[Mapping[int, int]]:
        """Return coarse latencies by window in which requests were due: counts by bucket."""
        windows: list[Counter[int]] = [Counter() for _ in self.timeline.windows]
        for shard in self.shards:
            table = shard.tables.get("latency_by_window")
            for at, bucket, count in table.rows if table is not None else ():
                if int(at) < len(windows):
                    windows[int(at)][int(bucket)] += int(count)
        return list(windows)

    def scalar(self, name: str) -> float:
        """Return the sum of a number over all shards."""
        return sum(_value(shard, name) for shard in self.shards)

    def unanswered(self) -> tuple[tuple[int, int], ...]:
        """Return (shard, number) of the requests that got no good answer, as far as generators list them."""
        tables = ((_fact(shard, "shard"), shard.tables.get("unanswered")) for shard in self.shards)
        return tuple((number, int(row[0])) for number, table in tables if table is not None for row in table.rows)

    def facts(self) -> dict[str, JSON]:
        """Return what people look at first: how much was sent from where, and how it ended."""
        counts = {name: getattr(self.ledger, name) for name in ("scheduled", *OUTCOMES)}
        errors: Counter[str] = Counter()
        for shard in self.shards:
            kinds = (name for name in shard.facts if name.startswith(_ERROR))
            errors.update({name.removeprefix(_ERROR): _fact(shard, name) for name in kinds})
        return {
            **counts,
            "errors": {kind: count for kind, count in sorted(errors.items()) if count},
            "shards": len(self.shards),
            "offered_per_second": round(self.scalar("offered_rate"), 1),
            "achieved_per_second": round(self.scalar("achieved_rate"), 1),
        }


def read(evidence: Evidence) -> Books | NotMeasured:
    """Return the books of a load, or why there are none that say anything."""
    if not evidence.shards:
        return _nothing(
            evidence, evidence.lost_reason or "NoResult", evidence.lost_message or "its generators left no result",
            broken=evidence.broken,
        )  # fmt: skip
    bad = next((each for each in evidence.shards if each.outcome != "Completed"), None)
    if bad is not None:
        return _incomplete(evidence, bad)
    try:
        books = _books(evidence.shards)
    except (LedgerError, KeyError, TypeError) as error:
        message = f"the books of the load cannot be used: {error}"
        return _nothing(evidence, "LedgerOpen", message, broken=True)
    except ValueError as error:
        return _nothing(evidence, "ShardsApart", str(error))
    return _whole(evidence, books) or books


def saturated(
    evidence: Evidence, books: Books, segments: Sequence[int], limit: float | None, window: float | None = None
) -> NotMeasured | None:  # fmt: skip
    """Return why the load was not the one asked for, as far as that is the generators' own doing.

    Requests that waited because all connections were held by the server are the server's doing, and count as sent.
    ``segments`` are those that are judged, ``limit`` is the limit on latency that is, and ``window`` the resolution of
    the timeline where that is, in seconds.
    """
    scheduled = books.ledger.scheduled
    achieved = books.scalar("achieved_rate")
    if scheduled:
        achieved += books.scalar("offered_rate") * books.held / scheduled
    try:
        late = histograms.merge([books.histogram(f"lateness.{each}") for each in segments])
        lateness = late.quantile(0.99) if late.total else 0.0
    except HistogramError as error:
        return _nothing(evidence, "MalformedResult", str(error), broken=True)
    verdict = generator_verdict(books.scalar("offered_rate"), achieved, lateness, limit, window)
    if not verdict.saturated:
        return None
    hint = "; use more shards or loops (spec.load of the PerfTarget), or nodes with more CPU for the generators"
    return _nothing(evidence, "GeneratorSaturated", verdict.message + hint, facts=books.facts())


def span(books: Books, begin: float, end: float) -> TimeWindow:
    """Return a stretch of a load, given in seconds after its start, as a window of time."""
    start = books.timeline.start
    return TimeWindow(start=moment(start + begin), end=moment(start + end))


def job(evidence: Evidence) -> Source:
    """Return the Job of the generators as a source."""
    return place(evidence)


def nodes_of(serving: Iterable[ServingNode]) -> Mapping[str, str]:
    """Return the node by every name under which it may answer: a pod's, or its own."""
    names = {pod: each.node for each in serving for pod in each.pods}
    return names | {each.node: each.node for each in serving}


def strangers(run: Timeline, serving: Iterable[ServingNode]) -> tuple[Mapping[str, int], int]:
    """Return good answers by the names of servers that are none of the Service's, and how many answers there were.

    ``run`` names nodes already (see :func:`nodes_of`); the empty name stands for answers that name no server.
    """
    known = {each.node for each in serving}
    found: Counter[str] = Counter()
    total = 0
    for window in run.windows:
        total += sum(window.served.values())
        for name, count in window.served.items():
            if name not in known:
                found[name] += count
    return dict(found), total


def _books(shards: tuple[Result, ...]) -> Books:
    ledgers = [Ledger(**{name: int(_value(shard, f"ledger.{name}")) for name in _LEDGER}) for shard in shards]
    lines = [_timeline(shard) for shard in shards]
    for each, line in zip(ledgers, lines, strict=True):
        due = sum(window.due for window in line.windows)
        if due != each.scheduled:
            msg = f"{each.scheduled} requests were scheduled, but {due} were due in all windows together"
            raise LedgerError(msg)
    whole = merge(ledgers)
    held = int(sum(_fact(shard, _BUSY) for shard in shards))
    return Books(
        shards=shards, ledger=whole, timeline=timeline.with_waiting(timeline.merge(lines)),
        unsent=max(0, whole.never_sent - held), held=min(held, whole.never_sent),
    )  # fmt: skip


_LEDGER: Final = ("scheduled", *OUTCOMES)


def _timeline(shard: Result) -> Timeline:
    table = shard.tables["windows"]
    at = {name: index for index, name in enumerate(table.columns)}
    servers = [(name.removeprefix(_SERVED), index) for name, index in at.items() if name.startswith(_SERVED)]
    return Timeline(
        shard.started,
        float(shard.facts["window_seconds"]),
        tuple(
            Window(
                **{name: int(row[at[name]]) for name in (*OUTCOMES, "good")},
                served={name: int(row[index]) for name, index in servers if row[index]},
            )
            for row in table.rows
        ),
    )


def _whole(evidence: Evidence, books: Books) -> NotMeasured | None:
    expected = max(_fact(shard, "shards") for shard in books.shards)
    if expected != len(books.shards):
        message = f"{len(books.shards)} of {expected} generators handed in a result"
        return _nothing(evidence, "ShardsMissing", message, facts=books.facts())
    if any(shard.facts.get("stopped") for shard in books.shards):
        message = f"the load was stopped with {books.ledger.in_flight} requests in flight, before its schedule was over"
        return _nothing(evidence, "LoadStopped", message, facts=books.facts())
    return None


def _incomplete(evidence: Evidence, bad: Result) -> NotMeasured:
    message = bad.message or f"a generator ended as {bad.outcome} and did not say why"
    rates = [float(each.facts["offerable_rate"]) for each in evidence.shards if "offerable_rate" in each.facts]
    facts: dict[str, JSON] = {"offerable_per_second": round(sum(rates), 1)} if rates else {}
    if len(rates) > 1:
        message = f"{message} ({len(rates)} generators can offer {sum(rates):.0f}/s together)"
    return _nothing(evidence, bad.reason or bad.outcome, message, broken=bad.outcome == "Failed", facts=facts)


def _nothing(
    evidence: Evidence, reason: str, message: str, *, broken: bool = False, facts: Mapping[str, JSON] | None = None
) -> NotMeasured:
    return NotMeasured(reason=reason, message=message, broken=broken, source=source(evidence), facts=facts or {})


def _value(shard: Result, name: str) -> float:
    return shard.scalars[name].value or 0.0


def _fact(shard: Result, name: str) -> int:
    return int(shard.facts.get(name, 0))
