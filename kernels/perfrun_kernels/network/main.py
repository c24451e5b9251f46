"""The network program: checks its parameters, serves or measures, hands in what was found."""

from __future__ import annotations

import time
from typing import Final

from perfrun_kernels.faults import ParametersError
from perfrun_kernels.network.client import measure
from perfrun_kernels.network.parameters import ClientParameters, ServerParameters, parse
from perfrun_kernels.network.server import serve
from perfrun_kernels.program import Measurement, Task

_SPARE_SECONDS: Final = 10.0


def run(task: Task) -> Measurement:
    """Serve, or measure, as ``task`` says.

    Raises:
        ParametersError: its parameters are wrong, or what they ask for does not fit into the budget.
        UnmeasurableError: something is missing: a program, the server, UDP, timestamps, or time before the start.
        BrokenMeasurementError: the server was lost in the middle, or a program broke.
    """
    wanted = parse(task.parameters)
    _fits(wanted, task.budget_seconds)
    if isinstance(wanted, ServerParameters):
        return serve(wanted, task.progress)
    return measure(wanted, task.progress)


def _fits(wanted: ServerParameters | ClientParameters, budget: float) -> None:
    waits = max(0.0, wanted.start_at - time.time()) if wanted.start_at else 0.0
    needed = waits + wanted.seconds
    if needed > budget + _SPARE_SECONDS:
        msg = (
            f"parameters need {needed:.0f} s with the wait for their start; "
            f"expected at most the budget of {budget:.0f} s: shorten them or raise the budget"
        )
        raise ParametersError(msg)
