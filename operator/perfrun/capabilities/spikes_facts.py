"""What goes with the four values of latency spikes, in words: who was confused with whom, and what it was seen with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from perfrun.api.base import JSON
from perfrun.capabilities.base import Evidence
from perfrun.capabilities.spikes_record import Answer, Record, Spike
from perfrun_kernels.contract import Result

_PLAIN: Final = ("source", "events", "missing", "kernel", "prober", "overhead", "pods", "left_out", "watched")
"""Facts of the agent that are told as they are: which facilities of the kernel it used, and on what."""

_COUNTS: Final = ("probes", "answered", "missed", "alarms", "false_alarms", "events.lost")
_MILLISECONDS: Final = ("deadline", "baseline.p50", "baseline.p99", "baseline.max", "late.max", "interval.max")
_DONE: Final[Mapping[Answer, str]] = {
    "detect": "detected", "identify": "identified", "locate": "located", "trace": "traced",
}  # fmt: skip


def facts_of(record: Record, result: Result, evidence: Evidence) -> dict[str, JSON]:
    """Return what people look at beside a value."""
    groups = _by_kind((*record.made, *record.natural))
    numbers = {name: each.value for name, each in result.scalars.items() if each.value is not None}
    facts: dict[str, JSON] = {
        "spikes_made": len(record.made),
        "spikes_ordered": record.ordered,
        "spikes_overlaid": record.overlaid,
        "spikes_that_nobody_made": len(record.natural),
        "spikes_in_other_pods_meanwhile": len(record.elsewhere),
        "containers": {kind: _right(spikes, "identify") for kind, spikes in groups.items()},
        "stages": {kind: _stages(spikes) for kind, spikes in groups.items()},
        "delays": {kind: delays(spikes) for kind, spikes in groups.items()},
        **{name: int(numbers[name]) for name in _COUNTS if name in numbers},
        **{f"{name}_ms": round(1e3 * numbers[name], 3) for name in _MILLISECONDS if name in numbers},
        **{name: result.facts[name] for name in _PLAIN if name in result.facts},
    }
    if record.refused:
        facts["not_made"] = dict(record.refused)
    if result.attachments:
        facts["artifacts"] = [f"{result.stage}.{name}" for name in sorted(result.attachments)]
    if evidence.shards:
        facts["offered_per_second"] = _total(evidence.shards, "offered_rate")
        facts["achieved_per_second"] = _total(evidence.shards, "achieved_rate")
    return facts


def delays(spikes: Sequence[Spike]) -> str:
    """Return how long each answer took: ``detected after 2.1 to 2.4 ms, identified after 3.5 to 4.2 ms``."""
    told = []
    for answer, done in _DONE.items():
        times = [after for each in spikes if each.right[answer] and (after := each.after[answer]) is not None]
        if times:
            told.append(f"{done} after {_between(min(times), max(times))}")
    return ", ".join(told) or "no answer was right"


def _between(least: float, most: float) -> str:
    scale, unit = (1e3, "ms") if most < 1 else (1.0, "s")
    first, last = f"{scale * least:.3g}", f"{scale * most:.3g}"
    return f"{first} {unit}" if first == last else f"{first} to {last} {unit}"


def _by_kind(spikes: Iterable[Spike]) -> dict[str, list[Spike]]:
    groups: dict[str, list[Spike]] = {}
    for each in spikes:
        groups.setdefault(each.kind or "natural", []).append(each)
    return groups


def _right(spikes: Sequence[Spike], answer: Answer) -> str:
    return f"{sum(each.right[answer] for each in spikes)} of {len(spikes)} right"


def _stages(spikes: Sequence[Spike]) -> str:
    """Return a row of the confusion matrix in words: ``runqueue 2, throttled 1; expected runqueue``."""
    found = Counter(each.stage for each in spikes)
    told = ", ".join(f"{stage} {count}" for stage, count in found.most_common())
    truth = spikes[0].truth
    return f"{told}; expected {truth}" if truth is not None else told


def _total(shards: Iterable[Result], name: str) -> float:
    values = (shard.scalars[name].value for shard in shards if name in shard.scalars)
    return round(sum(value for value in values if value is not None), 1)
