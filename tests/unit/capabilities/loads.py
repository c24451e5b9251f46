"""Synthetic loads: what generators would have handed in, from a description of what a system did under them."""

from __future__ import annotations

import base64
import datetime as dt
import struct
import zlib

import attrs
import numpy as np

from perfrun.api.faults import FaultStatus, NodeFault, ServingNode
from perfrun.capabilities.base import Evidence, ServedIds
from perfrun_kernels.contract import Histogram, Result, Scalar, Table

START = 1_800_000_000.0
WINDOW = 0.1
RUN = "0123456789abc-s1-load-1"
ENDINGS = ("ok", "error", "timeout", "never_sent", "in_flight")
OUTCOMES = ("in_flight", "ok", "error", "timeout", "never_sent")


def at(seconds):
    return dt.datetime.fromtimestamp(START + seconds, dt.UTC)


@attrs.frozen
class Happening:
    """What each window of a load was like: counts of requests due by outcome, of good answers by server, latencies."""

    rate: float = 1000.0
    segments: tuple[float, ...] = (10.0, 47.0, 10.0)
    nodes: int = 5
    weights: tuple[float, ...] = ()
    latency: float = 0.004
    shards: int = 1
    seed: int = 3
    lateness: float = 0.0001
    stall: float = 0.0
    together: int = 1

    def result(self, shape=lambda _second: {}, shard=0, **changes):
        """Return one shard's result; ``shape(second)`` changes a window: outcomes, weights, latency, late answers."""
        noise = np.random.default_rng(self.seed + shard)
        total = round(sum(self.segments) / WINDOW)
        weights = self.weights or (1.0,) * self.nodes
        names = [f"web-{n}" for n in range(self.nodes)]
        rows, latencies, unanswered = [], [], []
        segments = [[] for _ in self.segments]
        number, carried = 0, 0
        for index in range(total):
            second = index * WINDOW
            said = {"weights": weights, "latency": self.latency, **shape(second)}
            due = int(noise.poisson(self.rate / self.shards * WINDOW))
            counts = dict.fromkeys(ENDINGS, 0)
            for kind in ("error", "timeout", "never_sent", "in_flight"):
                counts[kind] = min(said.get(kind, 0), due - sum(counts.values()))
            for kind, count in counts.items():
                unanswered += [[float(number + k), float(OUTCOMES.index(kind))] for k in range(count)]
            counts["ok"] = due - sum(counts.values())
            number += due
            late = min(carried + counts["ok"], said.get("late", 0))
            good, carried = carried + counts["ok"] - late, late
            share = np.array(said["weights"]) / sum(said["weights"])
            clusters = noise.multinomial(good // self.together, share) * self.together
            clusters += noise.multinomial(good - int(clusters.sum()), share)
            rows.append([*(float(counts[name]) for name in ENDINGS), float(good), *map(float, clusters)])
            micros = np.maximum(1, noise.exponential(said["latency"], counts["ok"]) * 1e6).astype(int)
            values = np.concatenate([micros, np.full(due - counts["ok"], 5_000_000)]).astype(int)
            coarse = np.unique(np.floor(8 * np.log2(values)).astype(int), return_counts=True)
            latencies += [[float(index), float(bucket), float(count)] for bucket, count in zip(*coarse, strict=True)]
            edges = np.cumsum(self.segments)
            segment = min(int(np.searchsorted(edges, second + 1e-9, side="right")), len(self.segments) - 1)
            segments[segment].append(values)
        ledger = {name: sum(row[k] for row in rows) for k, name in enumerate(ENDINGS)}
        scheduled = sum(ledger.values())
        sent = scheduled - ledger["never_sent"]
        length = sum(self.segments)
        scalars = {f"ledger.{name}": count for name, count in {**ledger, "scheduled": scheduled}.items()} | {
            "attempts.retries": 7.0, "attempts.retries_refused": 0.0, "connections.opened": scheduled / 100,
            "offered_rate": scheduled / length, "achieved_rate": sent / length,
        }  # fmt: skip
        histograms = {}
        for segment, parts in enumerate(segments):
            found, often = np.unique(np.concatenate(parts), return_counts=True)
            counts = dict(zip(found.tolist(), often.tolist(), strict=True))
            histograms[f"latency.{segment}"] = histogram(counts)
            histograms[f"first_latency.{segment}"] = histogram(counts)
            late = {max(1, int(self.lateness * 1e6)): 1000} | ({int(self.stall * 1e6): 1} if self.stall else {})
            histograms[f"lateness.{segment}"] = histogram(late)
        base = Result(
            run="r", stage="s1-load", attempt=1, outcome="Completed", started=START, finished=START + length + 1,
            scalars={name: Scalar("requests", float(value)) for name, value in scalars.items()},
            facts={
                "shard": shard, "shards": self.shards, "stopped": False, "window_seconds": WINDOW,
                "error.never sent: all connections were busy": int(ledger["never_sent"]),
            },
            histograms=histograms,
            tables={
                "windows": Table([*ENDINGS, "good", *(f"served:{name}" for name in names)], rows),
                "latency_by_window": Table(["window", "bucket", "count"], latencies),
                "unanswered": Table(["number", "outcome"], unanswered),
            },
        )  # fmt: skip
        return changed(base, **changes)

    def evidence(self, shape=lambda _second: {}, **changes):
        """Return the evidence of this load with as many shards as it has."""
        shards = tuple(self.result(shape, shard) for shard in range(self.shards))
        serving = tuple(
            ServingNode(node=f"node-{n}", pods=(f"web-{n}",), cpu=2.0) for n in range(self.nodes)
        )  # fmt: skip
        whole = Evidence(shards=shards, start_at=START, serving=serving, pod="r-s1-load-1")
        return attrs.evolve(whole, **changes)


def changed(result, *, facts=None, scalars=None, **fields):
    """Return a result with some of its facts, scalars and fields replaced; a scalar that is None is left out."""
    merged = {**result.scalars, **{name: Scalar("x", value) for name, value in (scalars or {}).items()}}
    merged = {name: each for name, each in merged.items() if each.value is not None}
    data = {name: getattr(result, name) for name in result.__dataclass_fields__}
    return Result(**{**data, "facts": {**result.facts, **(facts or {})}, "scalars": merged, **fields})


def fault(*nodes, injected=10.05, undone=57.0, **changes):
    """Return a fault on nodes by number, with its times in seconds after the load's start."""
    status = FaultStatus(
        id="s1-fault", kind="isolate", backend="native", seed=1, state="Undone", starts_at=at(10), ends_at=at(57),
        nodes=tuple(
            NodeFault(
                node=f"node-{n}", injected_at=at(injected + k * 0.01), not_ready_at=at(injected + 5),
                undone_at=at(undone), clean_at=at(undone + 1),
            )
            for k, n in enumerate(nodes)
        ),
    )  # fmt: skip
    return status.replace(**changes)


def logged(evidence, *, missing=0, gaps=(), unanswered=False):
    """Return what servers logged of a load: all its good answers but for some, or also those that never arrived."""
    ids = []
    for shard in evidence.shards:
        lost = {int(row[0]) for row in shard.tables["unanswered"].rows}
        numbers = range(int(shard.scalars["ledger.scheduled"].value))
        ids += [f"{RUN}-{shard.facts['shard']}-{number}-0" for number in numbers if unanswered or number not in lost]
    return ServedIds(ids=tuple(ids[missing:]), pods=("web-0",), gaps=tuple(gaps))


def histogram(counts):
    """Write an HdrHistogram of microseconds with three digits, as the generator's library does."""
    buckets = {}
    for value, count in counts.items():
        doubling = max(0, value.bit_length() - 11)
        index = (doubling + 1) * 1024 + (value >> doubling) - 1024
        buckets[index] = buckets.get(index, 0) + count
    body, position = b"", 0
    for index in sorted(buckets):
        if index > position:
            body += _zigzag(position - index)
        body += _zigzag(buckets[index])
        position = index + 1
    plain = struct.pack(">iiiiqqd", 0x1C849313, len(body), 0, 3, 1, 3_600_000_000, 1.0) + body
    packed = zlib.compress(plain)
    text = base64.b64encode(struct.pack(">ii", 0x1C849314, len(packed)) + packed).decode()
    return Histogram("s", 1e-6, text)


def _zigzag(number):
    value, out = (number << 1) ^ (number >> 63), b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])
