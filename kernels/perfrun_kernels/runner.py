"""Running one program from request to handed-in result, whatever happens on the way.

The operator learns of a run only through its result, so that every end has one: parameters that make no sense, a
missing library, memory that ran out, a defect, an order to stop.
"""

from __future__ import annotations

import signal
import sys
import time
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from perfrun_kernels import contract
from perfrun_kernels.contract import ContractError, Outcome, Request, Result
from perfrun_kernels.faults import BrokenMeasurementError, ParametersError, Terminated, UnmeasurableError
from perfrun_kernels.handin import Destination, HandInError, completion_index, leave_message, put
from perfrun_kernels.program import Task, find

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from perfrun_kernels.program import Measurement

RESULT_PREFIX: Final = "perfrun-result: "
"""What the one line on standard output begins with that holds the result as JSON."""

TERMINATION_LOG_ENV: Final = "PERFRUN_TERMINATION_LOG"
DEFAULT_TERMINATION_LOG: Final = "/dev/termination-log"
EXIT_DELIVERED: Final = 0
EXIT_UNDELIVERED: Final = 1
EXIT_NO_REQUEST: Final = 2
TERMINATED_HANDIN_SECONDS: Final = 20.0
"""Seconds of hand-in after an order to stop: less than the 30 that Kubernetes grants by default."""

GPU_FAILURES: Final = {
    "busy or unavailable": ("GPUBusy", "the GPU is taken by another process"),
    "uncorrectable ECC": ("GPUErrors", "the GPU's memory failed"),
}
"""What CUDA's errors say that are no defect of a program, with a reason and words for each."""


def main(environ: Mapping[str, str]) -> int:
    """Run what the environment asks; return the exit code.

    0: a result exists and was handed in, even one that says Failed. 1: nobody took it. 2: there is no request.
    """
    log = Path(environ.get(TERMINATION_LOG_ENV, "") or DEFAULT_TERMINATION_LOG)
    try:
        request, index = read_request(environ), completion_index(environ)
    except ContractError as error:
        tell(str(error))
        leave_message(log, str(error)[: contract.TERMINATION_LIMIT // 4])
        return EXIT_NO_REQUEST
    destination = Destination.of(environ)
    with terminable() as order:
        result = run(request, order, index, destination)
    line = result.to_json()
    sys.stdout.write(f"{RESULT_PREFIX}{line}\n")
    sys.stdout.flush()
    leave_message(log, result.summary())
    tell(f"{result.outcome} {result.reason} {result.message}".strip())
    if destination is None:
        return EXIT_DELIVERED
    patience = TERMINATED_HANDIN_SECONDS if result.reason == "Terminated" else contract.HANDIN_SECONDS
    try:
        tell(f"handed in after {put(destination, line, patience)} tries")
    except HandInError as error:
        tell(str(error))
        return EXIT_UNDELIVERED
    return EXIT_DELIVERED


def read_request(environ: Mapping[str, str]) -> Request:
    """Return the request.

    Raises:
        ContractError: there is none, or it is malformed.
    """
    text = environ.get(contract.REQUEST_ENV, "")
    if not text:
        msg = f"{contract.REQUEST_ENV} is not set; expected a request as JSON: let the operator start this program"
        raise ContractError(msg)
    return Request.from_json(text)


class Order:
    """Whether an order to stop is to be raised now; outside a program it is ignored, for the hand-in must go on."""

    def __init__(self) -> None:
        self.raises = False

    def received(self, *_: Any) -> None:
        """Take SIGTERM."""
        if self.raises:
            self.raises = False
            raise Terminated


@contextmanager
def terminable() -> Iterator[Order]:
    """Take SIGTERM as an order; afterwards it is ignored until this process ends by itself."""
    order = Order()
    signal.signal(signal.SIGTERM, order.received)
    yield order


def run(
    request: Request, order: Order, index: int | None = None, destination: Destination | None = None
) -> Result:  # fmt: skip
    """Run the request's program and return its result; nothing that it raises gets past here.

    ``index`` is this pod's in an Indexed Job, where it is one. Checkpoints go to the ``destination``, if there is one.
    """

    def checkpoint(measured: Measurement) -> None:
        if destination is None:
            return
        try:
            put(destination.partial(), _completed(request, measured).to_json(), 0.0)
        except (HandInError, ValueError) as error:
            tell(f"a checkpoint was not taken: {error}")

    started = time.time()
    try:
        order.raises = True
        program = find(request.kind)
        measured = program(Task(request.parameters, request.budget_seconds, tell, index, checkpoint))
        order.raises = False
        result = _completed(request, measured)
        result.to_json()
    except BaseException as error:  # noqa: BLE001 -- the operator must hear of any end
        order.raises = False
        finished = time.time()
        outcome, reason, message = explain(error, request.kind, finished - started)
        if reason == "Defect":
            traceback.print_exc()
        return Result(
            run=request.run, stage=request.stage, attempt=request.attempt, outcome=outcome, started=started,
            finished=finished, reason=reason, message=message,
            facts=error.facts if isinstance(error, UnmeasurableError) else {},
        )  # fmt: skip
    return result


def _completed(request: Request, measured: Measurement) -> Result:
    return Result(
        run=request.run, stage=request.stage, attempt=request.attempt, outcome="Completed",
        started=measured.started, finished=measured.finished, series=dict(measured.series),
        scalars=dict(measured.scalars), facts=dict(measured.facts), histograms=dict(measured.histograms),
        tables=dict(measured.tables), attachments=dict(measured.attachments),
    )  # fmt: skip


def explain(error: BaseException, kind: str, spent_seconds: float) -> tuple[Outcome, str, str]:
    """Return the outcome, the reason and the sentence for what ended a program."""
    match error:
        case Terminated():
            message = f"the pod was told to stop after {spent_seconds:.1f} s, before it had measured"
            ending: tuple[Outcome, str, str] = ("Failed", "Terminated", message)
        case ParametersError():
            ending = ("Failed", "BadParameters", str(error))
        case UnmeasurableError():
            ending = ("Unmeasurable", error.reason, str(error))
        case BrokenMeasurementError():
            ending = ("Failed", error.reason, str(error))
        case _ if out_of_memory(error):
            ending = ("Unmeasurable", "OutOfMemory", f"memory ran out: {_first_line(error)}")
        case _ if (gone := gpu_gone(error)) is not None:
            ending = ("Unmeasurable", gone[0], f"{gone[1]}: {_first_line(error)}")
        case _:
            ending = ("Failed", "Defect", f"the program {kind} broke with {_first_line(error)}")
    return ending


def out_of_memory(error: BaseException) -> bool:
    """Return whether the host's or a GPU's memory ran out; torch is asked by name, for it may not be there."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def gpu_gone(error: BaseException) -> tuple[str, str] | None:
    """Return the reason and the words for an error by which CUDA says that a GPU cannot be had or is faulty."""
    known = (failure for words, failure in GPU_FAILURES.items() if words in str(error))
    return next(known, None) if isinstance(error, RuntimeError) else None


def tell(line: str) -> None:
    """Print one line for people on standard error."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _first_line(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
