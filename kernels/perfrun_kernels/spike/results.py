"""The result of a watch: each injection with what was answered and when, and each spike that nobody made.

An injection counts from the moment of its effect, a spike of nature from the sending of the probe that shows it. Pure:
the same watch gives the same result.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from perfrun_kernels.contract import Attachment, Histogram, Scalar, Table
from perfrun_kernels.program import Fact, Measurement
from perfrun_kernels.spike import picture, timeline, trace
from perfrun_kernels.spike.incidents import Incident, Made, Watch
from perfrun_kernels.spike.locate import STAGES
from perfrun_kernels.spike.order import KINDS, Pod, SpikeOrder
from perfrun_kernels.spike.solving import pod_name
from perfrun_kernels.spike.sorting import Sorted, sort

ANSWERS: Final = (
    "detected", "detect_s", "identified", "identify_s", "answer_pod", "answer_container", "located", "locate_s",
    "stage", "traced", "trace_s",
)  # fmt: skip
"""What was answered: 0 or 1 whether it is right, and seconds till then, -1 where that never came.

The answered pod and its container are indices in the order (-1: none), ``stage`` one in SpikeStage.
"""

INJECTIONS: Final = ("kind", "round", "pod", "at_s", "lasted_s", *ANSWERS)
NATURAL: Final = ("pod", "at_s", "answered_s", *ANSWERS)

_SHARES: Final = {
    "cost.mean": "cost_mean", "cost.max": "cost_max", "cost.tracing": "tracing_mean", "taken.mean": "taken_mean",
    "taken.max": "taken_max",
}  # fmt: skip
"""Shares of the node's CPUs: what the watch had, its programs in the kernel of that, and what others lacked by it."""

_INTERVALS: Final = {"interval": "interval_ns", "interval.max": "interval_max_ns"}

MOST_PANELS: Final = 8
NEVER: Final = -1.0
_NS: Final = 1e-9


@attrs.frozen
class Setting:
    """What a watch is read by: its order, the clocks at its beginning, and how long an injection may last (ns)."""

    order: SpikeOrder
    clocks: trace.Clocks
    longest: int

    def unix(self, moment: int) -> float:
        """Return a moment of CLOCK_MONOTONIC (ns) in seconds since the epoch."""
        return (self.clocks.realtime + moment - self.clocks.monotonic) * _NS


def measurement(watch: Watch, setting: Setting, pieces: Mapping[int, bytes], node: str, finished: int) -> Measurement:
    """Return what the watch gives for the contract's result.

    ``pieces`` are those of its trace by spike, ``finished`` is when it was over (ns of CLOCK_MONOTONIC).
    """
    found = sort(watch, setting.longest)
    counts: Mapping[str, Any] = watch.end.counts if watch.end is not None else {}
    facts = _facts(watch, setting, found)
    if left_out := len(watch.incidents) - len(pieces):
        facts["trace"] = f"{left_out} spikes are not in the trace, which would have become too large"
    shown = (trace.opening(setting.clocks), *_injected(watch, setting), *(pieces[each] for each in sorted(pieces)))
    drawn = picture.draw(f"Latency spikes on {node}", _subtitle(watch, found), panels(found, setting))
    return Measurement(
        started=setting.unix(setting.clocks.monotonic), finished=setting.unix(finished), series={},
        scalars=_scalars(watch, setting, counts, found)
        | {"watched": Scalar("s", (finished - setting.clocks.monotonic) * _NS)},
        facts=facts, histograms=_histograms(counts),
        tables={
            "injections": Table(list(INJECTIONS), [_injection(*each, setting) for each in found.injections]),
            "elsewhere": Table(list(NATURAL), [_natural(each, setting) for each in found.elsewhere]),
            "natural": Table(list(NATURAL), [_natural(each, setting) for each in found.natural]),
        },
        attachments={
            "trace": _attachment("application/gzip", gzip.compress(b"".join(shown), mtime=0)),
            "timeline": _attachment("image/svg+xml", drawn.encode()),
        },
    )  # fmt: skip


def _injection(made: Made, incident: Incident | None, setting: Setting) -> list[float]:
    injection = made.injection
    pod = _pod_index(setting.order.pods, injection.pod_ip)
    lasted = NEVER if made.undone is None else (made.undone - injection.at) * _NS
    row = [float(KINDS.index(injection.kind)), float(injection.round), float(pod), setting.unix(injection.at), lasted]
    if incident is None:
        return row + _nothing()
    whose, where = incident.identified, incident.located
    right = whose is not None and whose.pod is not None and whose.pod.ip == injection.pod_ip
    if right and injection.container_id and whose is not None:
        right = whose.container is not None and whose.container.id == injection.container_id
    located = where is not None and where.stage == made.truth
    return row + _answers(incident, injection.at, setting.order.pods, identified=right, located=located)


def _natural(incident: Incident, setting: Setting) -> list[float]:
    spike, whose, where = incident.spike, incident.identified, incident.located
    identified = whose is not None and whose.container is not None and whose.proven
    located = where is not None and where.stage != "unknown"
    return [
        float(_pod_index(setting.order.pods, spike.ip)), setting.unix(spike.sent),
        NEVER if incident.answered is None else (incident.answered - spike.sent) * _NS,
        *_answers(incident, spike.sent, setting.order.pods, identified=identified, located=located),
    ]  # fmt: skip


def _answers(
    incident: Incident, since: int, pods: Sequence[Pod], *, identified: bool, located: bool
) -> list[float]:  # fmt: skip
    whose, where = incident.identified, incident.located
    pod, container = NEVER, NEVER
    if whose is not None and whose.pod is not None:
        pod = float(pods.index(whose.pod))
        container = float(whose.pod.containers.index(whose.container)) if whose.container is not None else NEVER
    return [
        1.0, _seconds(incident.spike.at, since), float(identified), _seconds(incident.identified_at, since), pod,
        container, float(located), _seconds(incident.located_at, since),
        float(STAGES.index(where.stage if where is not None else "unknown")),
        float(incident.traced_at is not None), _seconds(incident.traced_at, since),
    ]  # fmt: skip


def _nothing() -> list[float]:
    unknown = float(STAGES.index("unknown"))
    return [0.0, NEVER, 0.0, NEVER, NEVER, NEVER, 0.0, NEVER, unknown, 0.0, NEVER]


def _seconds(moment: int | None, since: int) -> float:
    """Return seconds since the beginning; an alarm that came before the effect was seen counts as at once."""
    return NEVER if moment is None else max(0.0, (moment - since) * _NS)


def _pod_index(pods: Sequence[Pod], ip: str) -> int:
    return next((index for index, each in enumerate(pods) if each.ip == ip), int(NEVER))


def _scalars(watch: Watch, setting: Setting, counts: Mapping[str, Any], found: Sorted) -> dict[str, Scalar]:
    scalars = {
        name: Scalar("probes", float(counts.get(name, 0))) for name in ("probes", "answered", "missed", "alarms")
    }
    ordered = setting.order.rounds * len(setting.order.inject)
    false = sum(each.false_alarm for each in watch.incidents.values())
    scalars |= {
        "false_alarms": Scalar("alarms", float(false)),
        "injections.ordered": Scalar("spikes", float(ordered)),
        "injections.done": Scalar("spikes", float(len(found.injections))),
        "injections.overlaid": Scalar("spikes", float(len(found.overlaid))),
        "cpu": Scalar("s", float(counts.get("cpu_seconds", 0.0))),
        "events.lost": Scalar("events", float(counts.get("lost_events", 0))),
        "late.max": Scalar("s", float(counts.get("late_max_us", 0)) * 1e-6),
    }
    spent = counts.get("budget") or {}
    if spent.get("looks"):
        scalars |= {name: Scalar("1", float(spent[key])) for name, key in _SHARES.items()}
        scalars |= {name: Scalar("s", spent[key] * _NS) for name, key in _INTERVALS.items()}
    if watch.ready is not None:
        scalars["deadline"] = Scalar("s", watch.ready.deadline_us * 1e-6)
        for name in ("p50", "p99", "max"):
            if (value := watch.ready.baseline.get(f"{name}_us")) is not None:
                scalars[f"baseline.{name}"] = Scalar("s", value * 1e-6)
    return scalars


def _histograms(counts: Mapping[str, Any]) -> dict[str, Histogram]:
    data = counts.get("latency_hdr")
    return {"probe": Histogram("s", _NS, data)} if isinstance(data, str) and data else {}


def _facts(watch: Watch, setting: Setting, found: Sorted) -> dict[str, Fact]:
    facts: dict[str, Fact] = {"pods": ", ".join(f"{each.namespace}/{each.name}" for each in setting.order.pods)}
    if offered := watch.facilities:
        facts |= {"source": offered.source, "kernel": offered.kernel, "events": ", ".join(sorted(offered.events))}
        facts["missing"] = "; ".join(f"{name}: {why}" for name, why in sorted(offered.missing.items()))
        facts |= {f"watch.{name}": each for name, each in offered.more.items() if isinstance(each, (str, int, float))}
    if ready := watch.ready:
        base = ", ".join(f"{name.removesuffix('_us')} {value:g} us" for name, value in sorted(ready.baseline.items()))
        facts["prober"] = f"a probe has to be answered within {ready.deadline_us / 1000:g} ms; before: {base}"
    if watch.end is not None and (spent := watch.end.counts.get("budget") or {}).get("looks"):
        facts["overhead"] = _overhead(spent)
    if setting.order.left_out:
        names = ", ".join(f"{each.namespace}/{each.name}" for each in setting.order.left_out)
        facts["left_out"] = f"{names}: in the node's own network, where no namespace tells whose packets are whose"
    facts |= {f"lost.{each.ip}": each.message for each in watch.lost}
    facts |= {f"refused.{each.kind}": f"{each.reason}: {each.message}" for each in watch.refused}
    for index, (made, incident) in enumerate(found.injections):
        facts[f"injection.{index}"] = f"{made.injection.kind} {made.injection.round}: {sentence(incident)}"
    facts |= {
        f"overlaid.{made.injection.kind}.{made.injection.round}": sentence(incident)
        for made, incident in found.overlaid
    }
    for name, incidents in (("natural", found.natural), ("elsewhere", found.elsewhere)):
        facts |= {f"{name}.{index}": sentence(each) for index, each in enumerate(incidents)}
    return facts


def _overhead(spent: Mapping[str, Any]) -> str:
    tracing = "unknown" if spent["tracing_unknown"] else f"{100 * spent['tracing_mean']:.2f} %"
    longest, wanted = spent["interval_max_ns"], spent["interval_ns"]
    kept = f"stretched from {wanted / 1e6:g} to {longest / 1e6:.3g} ms" if longest > wanted else f"{wanted / 1e6:g} ms"
    return (
        f"{100 * spent['cost_mean']:.2f} % of the node's CPUs (most {100 * spent['cost_max']:.2f} %), tracing "
        f"{tracing}, what the pods took to answer included; {100 * spent['taken_mean']:.2f} % (most "
        f"{100 * spent['taken_max']:.2f} %) lost to others; interval of probes {kept}"
    )


def sentence(incident: Incident | None) -> str:
    """Return what is known of a spike in a sentence."""
    if incident is None:
        return "no spike was seen"
    whose, where = incident.identified, incident.located
    if whose is None or where is None:
        return "the watch ended before it was looked at"
    return f"{where.stage}: {where.why} ({whose.why})"


def panels(found: Sorted, setting: Setting) -> list[picture.Panel]:
    """Return what the picture shows: the first spike of each kind, and some of those that nobody made."""
    shown: dict[str, picture.Panel] = {}
    for made, incident in found.injections:
        if incident is not None and incident.events is not None and made.injection.kind not in shown:
            shown[made.injection.kind] = _panel(f"{made.injection.kind} injected", incident, made, setting)
    room = MOST_PANELS - len(shown)
    others = [each for each in (*found.natural, *found.elsewhere) if each.events is not None]
    return [*shown.values(), *(_panel("spike", each, None, setting) for each in others[:room])]


def _panel(what: str, incident: Incident, made: Made | None, setting: Setting) -> picture.Panel:
    drawn = timeline.of(incident)
    stage = incident.located.stage if incident.located is not None else "unknown"
    since = incident.spike.sent if made is None else made.injection.at
    detected = f"detected after {_seconds(incident.spike.at, since) * 1000:.2f} ms"
    title = f"{what}: {stage}, in {pod_name(incident.identified, incident.spike.ip)}, {detected}"
    if made is not None:
        lane = timeline.Lane("injected", (_lasting(made, setting),))
        drawn = attrs.evolve(drawn, lanes=(*drawn.lanes, lane))
    why = incident.located.why if incident.located is not None else ""
    return picture.Panel(title, f"{why[:1].upper()}{why[1:]}.", drawn, incident.spike.sent)


def _lasting(made: Made, setting: Setting) -> timeline.Span:
    injection = made.injection
    until = made.undone if made.undone is not None else injection.at + setting.longest
    return timeline.Span(injection.at, max(until, injection.at), injection.kind, "injected")


def _injected(watch: Watch, setting: Setting) -> list[bytes]:
    spans = trace.apart([_lasting(made, setting) for made in watch.made])
    return [trace.piece(trace.Group("perfrun", (timeline.Lane("injected", spans),)))] if spans else []


def _subtitle(watch: Watch, found: Sorted) -> str:
    source = watch.facilities.source if watch.facilities is not None else "nothing"
    spikes = len(watch.incidents)
    return (
        f"{spikes} spikes, {len(found.injections)} of them injected on purpose; told by {source} of kernel "
        f"{watch.facilities.kernel if watch.facilities is not None else ''}; zero is the sending of the probe"
    )


def _attachment(media_type: str, data: bytes) -> Attachment:
    return Attachment(media_type, base64.b64encode(data).decode())
