"""When a fault may still begin: never late, as the load around it is timed by the same order."""

from __future__ import annotations

import time

from perfrun_kernels.contract import LATE_SECONDS, FaultOrder
from perfrun_kernels.fault import waiting
from perfrun_kernels.fault.refusal import RefusedError


def refuse_if_late(order: FaultOrder, now: float) -> None:
    """Refuse where the fault should have begun by ``now`` (seconds since the epoch).

    Raises:
        RefusedError: it is late (reason Late).
    """
    late = now - order.starts_at
    if late > LATE_SECONDS:
        raise RefusedError(
            "Late",
            f"the agent was ready {late:.2f} s after fault {order.fault} was to begin, and at most {LATE_SECONDS:g} s "
            "are allowed; give it more time between the order and the start",
        )


def wait_for_start(order: FaultOrder) -> float:
    """Wait for the start of the fault; return the time then, in seconds since the epoch.

    Raises:
        RefusedError: the agent is told to stop before (reason Cancelled), or the start was missed (reason Late).
    """
    if waiting.until(order.starts_at):
        raise RefusedError("Cancelled", f"the agent was told to stop before fault {order.fault} began")
    now = time.time()
    refuse_if_late(order, now)
    return now
