"""Cutting a node off: from one moment to another, no packet enters or leaves it.

The table is made early and drops nothing. At the start one element for each uplink goes into its set, with what is
left of the fault as its timeout. From then on the kernel alone ends the fault: a dead agent leaves a table that drops
nothing any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from perfrun_kernels.contract import FaultOrder, FaultReport
from perfrun_kernels.fault import alone, links, rights, rules, timing, waiting
from perfrun_kernels.fault.refusal import LeftError, RefusedError
from perfrun_kernels.fault.rules import Nft, NftError, Table

EXPIRY_SECONDS: Final = 2.0
"""Seconds after the end in which the kernel's own expiry has to be seen."""

LOOK_SECONDS: Final = 0.02


def run(order: FaultOrder, path: str, armed: Callable[[str], None]) -> FaultReport:
    """Carry out the order; ``armed`` is called once everything is ready.

    Raises:
        RefusedError: nothing was done.
        LeftError: something is left.
    """
    rights.need("NET_ADMIN", "drop the node's packets", rights.effective())
    timing.refuse_if_late(order, time.time())
    with alone.hold(order):
        return _run_alone(order, Nft.find(path), armed)


def _run_alone(order: FaultOrder, nft: Nft, armed: Callable[[str], None]) -> FaultReport:
    _refuse_if_cut_off(nft)
    uplinks = links.uplinks()
    if not uplinks:
        raise RefusedError(
            "NoUplink",
            "no interface here has a default route or is a network card that is up; run the agent with "
            "hostNetwork: true on a node that others can reach",
        )
    table = nft.arm(order.fault, uplinks)
    try:
        injected_at = _inject(order, nft, table, uplinks, armed)
        stopped = waiting.until(order.ends_at)
        overdue = None if stopped else _overdue(nft, table, order.ends_at)
        undone_at = time.time()
    finally:
        nft.remove(table)
    if stopped or overdue:
        undone_at = time.time()
    early = f"ended {order.ends_at - undone_at:.1f} s early, as {stopped.name} asked" if stopped else ""
    return FaultReport(
        order.fault, order.node, order.kind, "Undone", injected_at, undone_at,
        reason="Stopped" if stopped else "Overdue" if overdue else "",
        message=early or overdue or "",
        proof=f"{'' if stopped or overdue else 'the kernel let its elements expire, and '}table {table} for "
        f"{', '.join(uplinks)} was removed and is not listed any more",
    )  # fmt: skip


def _refuse_if_cut_off(nft: Nft) -> None:
    try:
        still = [table for table in nft.tables() if nft.dropping(table)]
    except NftError as error:
        raise RefusedError("NftRefused", f"the node's tables could not be looked at: {error}") from error
    if still:
        raise RefusedError(
            "FaultUnderWay", f"table {still[0]} of an agent that is gone still cuts this node off; it ends by itself"
        )


def _inject(order: FaultOrder, nft: Nft, table: Table, uplinks: list[str], armed: Callable[[str], None]) -> float:
    trigger = nft.ready()
    armed(f"table {table} for {', '.join(uplinks)} drops nothing yet")
    try:
        now = timing.wait_for_start(order)
    except RefusedError:
        trigger.drop()
        raise
    try:
        injected_at = trigger.pull(rules.cutting(table, uplinks, order.ends_at - now))
    except NftError as error:
        raise RefusedError("NftRefused", f"the kernel did not take the isolation: {error}") from error
    try:
        dropping = nft.dropping(table)
    except NftError as error:
        raise LeftError("Unseen", f"the isolation was ended, as it could not be looked at: {error}") from error
    # A fault of a few milliseconds may be over by the time of the look.
    if dropping != set(uplinks) and time.time() < order.ends_at:
        raise LeftError("Partly", f"packets of {sorted(dropping)} were dropped, ordered were {uplinks}; it was ended")
    return injected_at


def _overdue(nft: Nft, table: Table, ends_at: float) -> str | None:
    """Wait until the kernel let all elements expire; return what went wrong, or None."""
    while True:
        try:
            dropping = nft.dropping(table)
        except NftError as error:
            return f"table {table} was gone before the fault's end, removed by someone else: {error}"
        if not dropping:
            return None
        if time.time() > ends_at + EXPIRY_SECONDS:
            return f"the kernel still dropped packets {EXPIRY_SECONDS:g} s after the end; the table was removed"
        waiting.until(time.time() + LOOK_SECONDS)
