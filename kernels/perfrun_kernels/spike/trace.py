"""The trace that Perfetto opens: spikes, packets, tasks, CPUs and injections as tracks of one clock.

A Perfetto trace is a sequence of packets, so that traces put behind one another are one trace: each spike gives a piece
of its own as soon as it is located, and the injections give one at the end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
from google.protobuf.message import DecodeError
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as protos

from perfrun_kernels.spike.timeline import Lane, Span

_SEQUENCE: Final = 1
"""The one writer that all packets come from."""


class TraceError(ValueError):
    """What was written is no trace that Perfetto can show; the message says where."""


@attrs.frozen
class Clocks:
    """The same moment on three clocks, nanoseconds."""

    monotonic: int
    boottime: int
    realtime: int


@attrs.frozen
class Group:
    """Lanes that belong together, such as a pod's; ``details`` go with the first span of its first lane."""

    name: str
    lanes: Sequence[Lane]
    details: Mapping[str, str] = attrs.field(factory=dict)


def opening(clocks: Clocks) -> bytes:
    """Return what a trace begins with: how CLOCK_MONOTONIC, which all events are on, stands to the others."""
    trace = protos.Trace()
    packet = trace.packet.add(trusted_packet_sequence_id=_SEQUENCE)
    packet.clock_snapshot.primary_trace_clock = protos.BUILTIN_CLOCK_MONOTONIC
    for number, moment in (
        (protos.BUILTIN_CLOCK_MONOTONIC, clocks.monotonic),
        (protos.BUILTIN_CLOCK_BOOTTIME, clocks.boottime),
        (protos.BUILTIN_CLOCK_REALTIME, clocks.realtime),
    ):
        packet.clock_snapshot.clocks.add(clock_id=number, timestamp=moment)
    return bytes(trace.SerializeToString())


def piece(group: Group) -> bytes:
    """Return a group's tracks and events as a part of a trace."""
    trace = protos.Trace()
    parent = _track(trace, group.name, 0, 0)
    for rank, lane in enumerate(group.lanes):
        track = _track(trace, lane.name, parent, rank)
        events = [_event(track, mark.at, protos.TrackEvent.TYPE_INSTANT, mark.name) for mark in lane.marks]
        for index, span in enumerate(lane.spans):
            begin = _event(track, span.start, protos.TrackEvent.TYPE_SLICE_BEGIN, span.name)
            if rank == 0 and index == 0:
                _annotate(begin.track_event, group.details)
            events += (begin, _event(track, span.end, protos.TrackEvent.TYPE_SLICE_END))
        # Spans follow one another, so that sorting leaves an end before the beginning of the same moment.
        trace.packet.extend(sorted(events, key=lambda each: each.timestamp))
    return bytes(trace.SerializeToString())


def check(data: bytes) -> int:
    """Return how many slices and instants are in a trace, or a piece of one, that is read again.

    Raises:
        TraceError: it is no trace, an event is on no track, or slices of a track overlap without nesting.
    """
    try:
        trace = protos.Trace.FromString(data)
    except DecodeError as error:
        raise TraceError(f"what was written cannot be read again: {error}") from error
    named = {each.track_descriptor.uuid for each in trace.packet if each.HasField("track_descriptor")}
    open_until: dict[int, tuple[int, int]] = {}
    events = [each for each in trace.packet if each.HasField("track_event")]
    for each in events:
        track, kind = each.track_event.track_uuid, each.track_event.type
        if track not in named:
            raise TraceError(f"an event at {each.timestamp} is on track {track}, which is not described")
        if kind == protos.TrackEvent.TYPE_INSTANT:
            continue
        depth, last = open_until.get(track, (0, 0))
        depth += 1 if kind == protos.TrackEvent.TYPE_SLICE_BEGIN else -1
        if depth not in {0, 1} or each.timestamp < last:
            raise TraceError(f"the slices of track {track} overlap at {each.timestamp}")
        open_until[track] = depth, each.timestamp
    if unended := [track for track, (depth, _) in open_until.items() if depth]:
        raise TraceError(f"a slice of track {unended[0]} has no end")
    return sum(each.track_event.type != protos.TrackEvent.TYPE_SLICE_END for each in events)


def apart(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Return the spans in order, each cut where the next begins."""
    ordered = sorted(spans, key=lambda span: span.start)
    nexts = [span.start for span in ordered[1:]]
    return (
        *(attrs.evolve(span, end=min(span.end, start)) for span, start in zip(ordered, nexts, strict=False)),
        *ordered[-1:],
    )


def _track(trace: Any, name: str, parent: int, rank: int) -> int:
    uuid = int.from_bytes(hashlib.sha256(f"{parent}/{name}".encode()).digest()[:7], "big")
    descriptor = trace.packet.add(trusted_packet_sequence_id=_SEQUENCE).track_descriptor
    descriptor.uuid, descriptor.name = uuid, name
    if parent:
        descriptor.parent_uuid, descriptor.sibling_order_rank = parent, rank
    else:
        descriptor.child_ordering = protos.TrackDescriptor.EXPLICIT
    return uuid


def _event(track: int, moment: int, kind: int, name: str = "") -> Any:
    packet = protos.TracePacket(
        trusted_packet_sequence_id=_SEQUENCE, timestamp=moment, timestamp_clock_id=protos.BUILTIN_CLOCK_MONOTONIC
    )
    packet.track_event.type, packet.track_event.track_uuid = kind, track
    if name:
        packet.track_event.name = name
    return packet


def _annotate(event: Any, details: Mapping[str, str]) -> None:
    for name, value in details.items():
        event.debug_annotations.add(name=name, string_value=value)
