"""Answering the questions of a spike one after the other: whose it is, where it is held up, and what it looks like.

Each answer's moment is taken right after it was there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from perfrun_kernels.spike import timeline, trace
from perfrun_kernels.spike.identify import Identified, Listeners, identify
from perfrun_kernels.spike.incidents import Incident
from perfrun_kernels.spike.lines import Facilities
from perfrun_kernels.spike.locate import locate
from perfrun_kernels.spike.order import Pod

MOST_TRACE_BYTES: Final = 24 * 2**20
"""Bytes of trace, uncompressed, that are kept; later spikes are left out of it."""

MOST_EVENTS: Final = 100
"""Spikes whose events are kept for a picture: the agent's memory is small, and a long watch may see thousands."""


@attrs.define
class Solver:
    """Answers for the pods of one order, and keeps each spike's piece of the trace by the spike's id, up to a limit.

    ``clock`` shows CLOCK_MONOTONIC (ns).
    """

    pods: Sequence[Pod]
    port: int
    listeners: Listeners
    clock: Callable[[], int] = time.monotonic_ns
    pieces: dict[int, bytes] = attrs.field(factory=dict)
    _kept: int = 0
    _solved: int = 0

    def __call__(self, incident: Incident, facilities: Facilities) -> Incident:
        """Return the incident with its answers."""
        events = incident.events.events if incident.events is not None else ()
        whose = identify(incident.spike, events, incident.topology, self.pods, self.port, self.listeners)
        incident = attrs.evolve(incident, identified=whose, identified_at=self.clock())
        container = whose.container.id if whose.container is not None else ""
        where = locate(incident.spike, incident.events, incident.state, facilities.events, container)
        incident = attrs.evolve(incident, located=where, located_at=self.clock())
        shown = trace.piece(group(incident))
        trace.check(shown)
        incident = attrs.evolve(incident, traced_at=self.clock())
        self._kept += len(shown)
        if self._kept <= MOST_TRACE_BYTES:
            self.pieces[incident.spike.id] = shown
        self._solved += 1
        return incident if self._solved <= MOST_EVENTS else attrs.evolve(incident, events=None)


def group(incident: Incident) -> trace.Group:
    """Return what the trace shows of a located incident, under its pod's name."""
    whose, where = incident.identified, incident.located
    details = {
        "spike": str(incident.spike.id),
        "stage": where.stage if where is not None else "",
        "why": where.why if where is not None else "",
        "whose": whose.why if whose is not None else "",
    }
    return trace.Group(f"pod {pod_name(whose, incident.spike.ip)}", timeline.of(incident).lanes, details)


def pod_name(whose: Identified | None, ip: str) -> str:
    """Return the name of a spike's pod, or its address where it was not identified."""
    return ip if whose is None or whose.pod is None else f"{whose.pod.namespace}/{whose.pod.name}"
