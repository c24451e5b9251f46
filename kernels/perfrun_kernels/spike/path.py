"""The way of one probe through the kernel: what was seen of its packets, and where it stood longest.

A probe is one request and its answer, and there is one at a time on a connection. So everything that carries bytes for
the prober's port after the probe was sent belongs to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import attrs

from perfrun_kernels.spike.lines import Event, Spike

REQUEST: Final = "request"
REPLY: Final = "reply"
SENT: Final = "sent"
"""The step before the kernel's first event: the prober has written its request."""

SERVED: Final = "sock_ready"
"""With the request at the server's socket the packet's way ends, and that of the task begins."""

_PACKETS: Final = frozenset(
    {"dev_queue", "qdisc_enqueue", "qdisc_dequeue", "dev_xmit", "netif_rx", "netif_receive", "sock_ready", "drop"}
)


@attrs.frozen
class Step:
    """One stretch of the way: from ``event`` (None: from the sending) at ``start`` until ``following``.

    ``following`` is None where nothing more was seen; ``end`` is then that of the recording.
    """

    start: int
    end: int
    event: Event | None
    following: Event | None

    @property
    def kind(self) -> str:
        """Return the kind of event that the step begins with."""
        return SENT if self.event is None else self.event.kind

    @property
    def direction(self) -> str:
        """Return which way the packet was going."""
        return REQUEST if self.event is None else self.event.direction

    def until(self, deadline: int) -> int:
        """Return how long it lasted up to the deadline, nanoseconds."""
        return min(self.end, deadline) - self.start


def packets(spike: Spike, events: Sequence[Event]) -> list[Event]:
    """Return what was seen of the probe's packets, in the order of time; bare acknowledgements are left out."""
    return [
        each
        for each in sorted(events, key=lambda each: each.at)
        if each.port == spike.port and each.kind in _PACKETS and each.at >= spike.sent and each.length > 0
    ]


def dropped(spike: Spike, way: Sequence[Event]) -> Event | None:
    """Return the drop that the probe missed its deadline by: nothing of that direction arrived in time afterwards."""
    for drop in (each for each in way if each.kind == "drop" and each.at <= spike.deadline):
        if not any(
            each.kind == SERVED and each.direction == drop.direction and drop.at < each.at <= spike.deadline
            for each in way
        ):
            return drop
    return None


def longest(spike: Spike, way: Sequence[Event], until: int) -> Step:
    """Return the step that took most of the time until the deadline: it is what the probe missed it by.

    ``until`` is how far events were recorded: a step that nothing follows lasted at least until then.
    """
    marks = [each for each in way if each.kind != "drop"]
    steps = [
        Step(before.at if before else spike.sent, after.at if after else max(until, spike.sent), before, after)
        for before, after in pairwise([None, *marks, None])
        if before is None or before.at <= spike.deadline
    ]
    return max(steps, key=lambda step: step.until(spike.deadline))
