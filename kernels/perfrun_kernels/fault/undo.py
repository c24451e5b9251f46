"""Cleaning up a node: whatever any agent may have left is looked for, removed, and looked for again.

What is left was made to end by itself, so there is seldom anything to do but to say so. This takes the faults of every
run: a node that is asked to be clean has to be clean.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Final

from perfrun_kernels.contract import FaultOrder, FaultReport
from perfrun_kernels.fault import alone, processes, rights, spikes, tracer
from perfrun_kernels.fault.refusal import LeftError
from perfrun_kernels.fault.rules import Nft, NftError

GONE_SECONDS: Final = 2.0
LOOK_SECONDS: Final = 0.01


def run(order: FaultOrder, path: str) -> FaultReport:
    """Look, clean up, and look again.

    Raises:
        RefusedError: the agent cannot look.
        LeftError: something is still there.
    """
    rights.need("NET_ADMIN", "see and remove the tables of faults", rights.effective())
    rights.need("SYS_PTRACE", "see whether kubelet and container runtime stand still", rights.effective())
    held, agent = alone.take_over()
    with held:
        found, seen = _tables(Nft.find(path))
        ended, awake = _processes()
        removed, looked = spikes.clean()
    before = [f"the fault agent {agent} was ended"] if agent else []
    return FaultReport(
        order.fault, order.node, order.kind, "Clean", undone_at=time.time(),
        message="; ".join([*before, *found, *ended, *removed]) or "nothing was found",
        proof="; ".join(each for each in ("no fault agent is at work", seen, awake, looked) if each),
    )  # fmt: skip


def _tables(nft: Nft) -> tuple[list[str], str]:
    try:
        found = []
        for table in nft.tables():
            dropping = sorted(nft.dropping(table))
            nft.remove(table)
            found.append(f"table {table} was removed, which dropped packets of {', '.join(dropping) or 'no interface'}")
        left = nft.tables()
    except NftError as error:
        raise LeftError("Unseen", f"the node's tables could not be looked at: {error}") from error
    if left:
        raise LeftError("TableLeft", f"still there after their removal: {', '.join(str(each) for each in left)}")
    return found, "no table of a fault is listed"


def _processes() -> tuple[list[str], str]:
    """End what still holds processes of this node; return what was ended, and what is seen now."""
    holders = processes.of_node(frozenset({tracer.NAME}))
    held = [each for each in holders if _end(each.pid)]
    give_up = time.monotonic() + GONE_SECONDS
    while True:
        node = processes.of_node()
        stopped = [each for each in node if processes.stopped(each.pid)]
        if not stopped or time.monotonic() > give_up:
            break
        time.sleep(LOOK_SECONDS)
    if stopped:
        names = ", ".join(str(each) for each in stopped)
        raise LeftError("StillFrozen", f"{names} stands still, and no fault agent holds it; look at what stopped it")
    ended = [f"{each} was ended, which held processes" for each in held]
    if not node:
        # Whoever starts the pod that this runs in is not frozen.
        return ended, "kubelet and container runtime are out of sight here, and started this agent"
    return ended, f"{', '.join(str(each) for each in node)} run"


def _end(pid: int) -> bool:
    if processes.thread_state(pid, pid) in processes.ENDED:
        return False
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
