"""The agent itself: from an order to a result that is handed in, and then a report.

The result says what was seen, the report that everything is undone. The result comes first: whoever reads the report
finds it handed in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from perfrun_kernels.contract import HANDIN_SECONDS, FaultOrder, FaultReport, Outcome, Result
from perfrun_kernels.fault import alone, rights, timing
from perfrun_kernels.fault.refusal import LeftError, RefusedError
from perfrun_kernels.faults import BrokenMeasurementError, ParametersError, UnmeasurableError
from perfrun_kernels.handin import Destination, HandInError, put
from perfrun_kernels.runner import RESULT_PREFIX
from perfrun_kernels.spike import lines, results, sockets, watching
from perfrun_kernels.spike.incidents import Watch
from perfrun_kernels.spike.order import SpikeOrder, parse
from perfrun_kernels.spike.results import Setting
from perfrun_kernels.spike.solving import Solver
from perfrun_kernels.spike.trace import Clocks
from perfrun_kernels.spike.watching import Ended

STOPPED_HANDIN_SECONDS: Final = 5.0
"""Seconds of hand-in after an order to stop: it must fit into a pod's time to end."""

LACKING: Final = frozenset({"NoTopology", "NoEventSource", "NoProbe", "NoGuard"})
"""Reasons of perfrun-netwatch that are the world's, and not its own."""

_TRIES: Final = 20

Say = Callable[[str], None]


def run(order: FaultOrder, environ: Mapping[str, str], armed: Say, say: Say) -> FaultReport:
    """Carry out the order; ``armed`` is called once everything is ready, ``say`` prints a line.

    Raises:
        RefusedError: nothing was done.
        LeftError: something is left.
    """
    try:
        spike = parse(order.spike)
    except ParametersError as error:
        raise RefusedError("BadOrder", f"the order's spike: {error}") from error
    _refuse_without_pods(spike, order.node)
    mask = rights.effective()
    rights.need("SYS_ADMIN", "enter the pods' network namespaces and to see what the kernel does", mask)
    rights.need("SYS_PTRACE", "see which process of a pod listens", mask)
    rights.need("NET_ADMIN", "see and make what delays packets", mask)
    timing.refuse_if_late(order, time.time())
    try:
        binary = watching.PROGRAM.binary()
    except (UnmeasurableError, BrokenMeasurementError) as error:
        raise RefusedError(error.reason, str(error)) from error
    with alone.hold(order):
        return _run_alone(order, spike, binary, environ, armed, say)


def _refuse_without_pods(spike: SpikeOrder, node: str) -> None:
    if spike.pods:
        return
    if spike.left_out:
        raise RefusedError(
            "HostNetworkOnly",
            f"the {len(spike.left_out)} pods of the Service on node {node} use the node's own network, where no "
            "network namespace tells whose packets are whose; watch pods that have a network of their own",
        )
    raise RefusedError("NoServingPod", f"no pod of the Service runs on node {node}; there is nobody to watch")


def _run_alone(
    order: FaultOrder, spike: SpikeOrder, binary: Path, environ: Mapping[str, str], armed: Say, say: Say
) -> FaultReport:
    clocks = _clocks()
    longest = round(order.ends_at * 1e9) - clocks.realtime
    setting = Setting(spike, clocks, longest)
    solver = Solver(spike.pods, spike.port, sockets.listeners)
    watch = Watch(solver)

    def take(text: str) -> None:
        line = lines.read(text)
        if line is not None:
            watch.take(line)
        if isinstance(line, lines.Ready):
            armed(f"{len(spike.pods)} pods answer their probes")

    ended = watching.watch(binary, config(order, spike, clocks), take, order.ends_at)
    finished = time.monotonic_ns()
    proof = _prove(binary, order)
    if ended.stopped and time.time() < order.starts_at:
        raise RefusedError("Cancelled", f"the agent was told to stop before fault {order.fault} began")
    watch.finish()
    result = _result(order, setting, watch, ended, solver, finished)
    message = _hand_in(result, environ, ended, say)
    if watch.ready is None and not ended.stopped:
        raise RefusedError(result.reason, result.message)
    return _report(order, setting, watch, ended, finished, message, proof)


def config(order: FaultOrder, spike: SpikeOrder, clocks: Clocks) -> dict[str, Any]:
    """Return what perfrun-netwatch reads: the order, and its times on CLOCK_MONOTONIC (ns)."""

    def monotonic(unix: float) -> int:
        return clocks.monotonic + round(unix * 1e9) - clocks.realtime

    pods = [
        {**each, "containers": [attrs.asdict(own) for own in pod.containers]}
        for each in spike.given["pods"]
        for pod in spike.pods
        if pod.uid == each["uid"]
    ]
    return {
        **spike.given, "pods": pods, "fault": order.fault, "run": order.run, "node": order.node,
        "begin_ns": monotonic(order.starts_at), "end_ns": monotonic(order.ends_at),
    }  # fmt: skip


def _clocks() -> Clocks:
    """Read the clocks at one moment: of several tries the one that took least, as this may be held up amid one."""
    return min((_read() for _ in range(_TRIES)), key=lambda each: each[0])[1]


def _read() -> tuple[int, Clocks]:
    read = Clocks(time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns())
    return time.monotonic_ns() - read.monotonic, read


def _prove(binary: Path, order: FaultOrder) -> str:
    """Look for what the watch may have left, have it removed, and return what was looked at.

    Raises:
        LeftError: something is still there, or it could not be looked (reasons SpikeLeft, SpikesUnseen).
    """
    try:
        seen = watching.undo(binary, order.fault)
    except watching.UnseenError as error:
        raise LeftError("SpikesUnseen", f"what the spikes left could not be looked at: {error}") from error
    if seen.left:
        raise LeftError("SpikeLeft", f"still there after the watch: {', '.join(seen.left)}")
    removed = f"; removed afterwards: {', '.join(seen.found)}" if seen.found else ""
    return f"nothing of the watch is left: {watching.LOOKED} were looked at{removed}"


def _result(order: FaultOrder, setting: Setting, watch: Watch, ended: Ended, solver: Solver, finished: int) -> Result:
    measured = results.measurement(watch, setting, solver.pieces, order.node, finished)
    outcome, reason, message = _outcome(watch, ended, setting.order)
    return Result(
        run=order.run.rpartition("/")[2], stage=setting.order.stage, attempt=setting.order.attempt, outcome=outcome,
        started=measured.started, finished=measured.finished, reason=reason, message=message,
        scalars=dict(measured.scalars), facts=dict(measured.facts), histograms=dict(measured.histograms),
        tables=dict(measured.tables), attachments=dict(measured.attachments),
    )  # fmt: skip


def _outcome(watch: Watch, ended: Ended, spike: SpikeOrder) -> tuple[Outcome, str, str]:
    """Return the outcome, its reason and a sentence."""
    if ended.stopped:
        return "Failed", "Terminated", "the agent was told to stop before the watch was over"
    if watch.broken is not None:
        lacking = watch.broken.reason in LACKING
        return "Unmeasurable" if lacking else "Failed", watch.broken.reason, watch.broken.message
    if ended.code or watch.ready is None:
        return "Failed", "WatchFailed", f"{watching.PROGRAM.name} ended with exit code {ended.code}: {ended.said}"
    done = len(watch.made) + len(watch.refused)
    gone = {each.ip for each in watch.lost}
    if gone and (done < spike.rounds * len(spike.inject) or gone >= {each.ip for each in spike.pods}):
        return "Unmeasurable", "PodLost", "; ".join(each.message for each in watch.lost)
    return "Completed", "", ""


def _hand_in(result: Result, environ: Mapping[str, str], ended: Ended, say: Say) -> str:
    """Hand the result in, or print it where a parent reads; return a sentence where nobody took it."""
    destination = Destination.of(environ)
    line = result.to_json()
    if destination is None:
        say(f"{RESULT_PREFIX}{line}")
        return ""
    try:
        put(destination, line, STOPPED_HANDIN_SECONDS if ended.stopped else HANDIN_SECONDS)
    except HandInError as error:
        return str(error)
    return ""


def _report(
    order: FaultOrder, setting: Setting, watch: Watch, ended: Ended, finished: int, message: str, proof: str
) -> FaultReport:
    made = watch.made
    injected_at = setting.unix(min(each.injection.at for each in made)) if made else order.starts_at
    undone_at = setting.unix(max((each.undone for each in made if each.undone is not None), default=finished))
    said = [f"{len(made)} spikes were made, {len(watch.incidents)} seen"]
    if ended.stopped:
        said.append("ended early, as the agent was told to stop")
    if ended.code and not ended.stopped:
        said.append(f"the watch broke: {ended.said}")
    return FaultReport(
        order.fault, order.node, order.kind, "Undone", injected_at, undone_at,
        reason="Stopped" if ended.stopped else "WatchFailed" if ended.code else "NotTaken" if message else "",
        message="; ".join([*said, *([message] if message else [])]), proof=proof,
    )  # fmt: skip
