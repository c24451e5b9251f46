"""Freezing a node: its kubelet and container runtime stand still, while its containers and its network go on.

The operator sees such a node as it sees one whose kubelet hangs: no heartbeat, no answer. What ends it is described
with the tracer; here it is armed, watched, and afterwards proven to be over.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

from perfrun_kernels.contract import FaultOrder, FaultReport
from perfrun_kernels.fault import alone, processes, rights, timing, waiting
from perfrun_kernels.fault.processes import Process
from perfrun_kernels.fault.refusal import LeftError, RefusedError
from perfrun_kernels.fault.tracer import Frozen, Tracer, TracerError

SLACK_SECONDS: Final = 0.5
"""Seconds after the end that the kernel has to end the tracing process, before the agent does."""

AWAKE_SECONDS: Final = 5.0
"""Seconds in which every process has to be seen running again."""

LOOK_SECONDS: Final = 0.02


def run(order: FaultOrder, armed: Callable[[str], None]) -> FaultReport:
    """Carry out the order; ``armed`` is called once everything is ready.

    Raises:
        RefusedError: nothing was done.
        LeftError: a process does not run again.
    """
    rights.need("SYS_PTRACE", "stop the node's kubelet and container runtime", rights.effective())
    timing.refuse_if_late(order, time.time())
    with alone.hold(order):
        return _run_alone(order, armed)


def _run_alone(order: FaultOrder, armed: Callable[[str], None]) -> FaultReport:
    _refuse_unless_traceable(processes.of_node())
    tracer = Tracer()
    try:
        armed("kubelet and container runtime still run")
        timing.wait_for_start(order)
        frozen = tracer.go(order.ends_at)
        before = {each: processes.switches(each.pid) for each in frozen.processes}
        stopped = _watch(tracer, order.ends_at)
    except TracerError as error:
        raise RefusedError("NotStopped", f"the node's kubelet and container runtime go on: {error}") from error
    finally:
        tracer.end()
    undone_at = time.time()
    early = order.ends_at - undone_at
    reason, message = "", ""
    if stopped:
        reason, message = "Stopped", f"ended {early:.1f} s early, as the agent was told to stop"
    elif early > SLACK_SECONDS:
        reason, message = "Stopped", f"ended {early:.1f} s early, as the tracing process was ended by someone else"
    proof = _prove_awake(frozen, before)
    return FaultReport(
        order.fault, order.node, order.kind, "Undone", frozen.at, undone_at, reason=reason, message=message, proof=proof
    )


def _refuse_unless_traceable(found: list[Process]) -> None:
    if not found:
        raise RefusedError(
            "NothingToFreeze",
            f"none of {', '.join(sorted(processes.NAMES))} is seen in the agent's network namespace; run the agent "
            "with hostPID: true and hostNetwork: true",
        )
    for process in found:
        try:
            # Opening it asks for the same right as tracing does, and changes nothing.
            os.close(os.open(processes.PROC / str(process.pid) / "mem", os.O_RDONLY))
        except FileNotFoundError:
            continue
        except PermissionError as error:
            raise RefusedError(
                "NotTraceable",
                f"{process} may not be traced although the agent has SYS_PTRACE; run its container with "
                "appArmorProfile: Unconfined, and with a type that SELinux lets trace",
            ) from error


def _watch(tracer: Tracer, ends_at: float) -> bool:
    """Wait until the kernel has ended the tracer; return whether the agent was told to stop before."""
    while True:
        signal = waiting.until(ends_at + SLACK_SECONDS, waiting.STOP | waiting.CHILD)
        if signal in waiting.STOP:
            return True
        if signal is None or tracer.ended():
            return False


def _prove_awake(frozen: Frozen, before: dict[Process, dict[int, int]]) -> str:
    """Look until every process that was frozen runs again, or has ended; return what was seen.

    Raises:
        LeftError: one still does not run (reason StillFrozen).
    """
    asleep = set(frozen.processes)
    ended = set()
    give_up = time.monotonic() + AWAKE_SECONDS
    while True:
        for process in list(asleep):
            now = processes.switches(process.pid)
            if not now:
                ended.add(process)
            if not now or (not processes.stopped(process.pid) and now != before[process]):
                asleep.discard(process)
        # A supervisor may have started others meanwhile, which were frozen with them.
        others = [each for each in processes.of_node() if processes.stopped(each.pid)]
        if not asleep and not others:
            break
        if time.monotonic() > give_up:
            left = ", ".join(str(each) for each in sorted({*asleep, *others}))
            raise LeftError("StillFrozen", f"{left} did not run within {AWAKE_SECONDS:g} s after the fault")
        time.sleep(LOOK_SECONDS)
    names = ", ".join(str(each) for each in sorted(set(frozen.processes) - ended)) or "no process"
    meanwhile = f"; {len(ended)} ended meanwhile" if ended else ""
    stood = f"{frozen.threads} threads stood still"
    if frozen.unstopped:
        stood += f", {frozen.unstopped} of them in the kernel"
    return f"{stood}; none is stopped any more, and {names} ran again{meanwhile}"
