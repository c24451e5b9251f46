"""The memory program: checks its parameters, then hands them to the engine that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfrun_kernels.faults import libraries
from perfrun_kernels.memory.parameters import Served, parse

if TYPE_CHECKING:
    from perfrun_kernels.program import Measurement, Task


def run(task: Task) -> Measurement:
    """Watch what ``task`` asks.

    Raises:
        ParametersError: its parameters are wrong.
        UnmeasurableError: a library, the device, the model or the server is missing or refuses.
        BrokenMeasurementError: the numbers are worthless.
    """
    parameters = parse(task.parameters)
    with libraries("the memory program"):
        if isinstance(parameters, Served):
            from perfrun_kernels.memory import openai  # noqa: PLC0415 -- needs aiohttp, the other engine does not

            return openai.measure(parameters, task)
        from perfrun_kernels.memory import builtin  # noqa: PLC0415 -- needs torch, the other engine does not
    return builtin.measure(parameters, task)
