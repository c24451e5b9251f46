"""The sampling program: checks its parameters, then hands them to the engine that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfrun_kernels.faults import libraries
from perfrun_kernels.sampling.parameters import OpenAIParameters, parse

if TYPE_CHECKING:
    from perfrun_kernels.program import Measurement, Task


def run(task: Task) -> Measurement:
    """Measure what ``task`` asks.

    Raises:
        ParametersError: its parameters are wrong.
        UnmeasurableError: a library, the device, the model or the server is missing or refuses.
        BrokenMeasurementError: the numbers are worthless.
    """
    parameters = parse(task.parameters)
    with libraries("the sampling engine"):
        if isinstance(parameters, OpenAIParameters):
            from perfrun_kernels.sampling import openai  # noqa: PLC0415 -- needs aiohttp, the other engine does not

            return openai.measure(parameters, task.budget_seconds, task.progress)
        from perfrun_kernels.sampling import engine  # noqa: PLC0415 -- needs torch, the other engine does not
    return engine.measure(parameters, task.budget_seconds, task.progress)
