"""The precision program: checks its parameters, then compares the model before and after converting it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfrun_kernels.faults import libraries
from perfrun_kernels.precision.parameters import parse

if TYPE_CHECKING:
    from perfrun_kernels.program import Measurement, Task


def run(task: Task) -> Measurement:
    """Measure what ``task`` asks.

    Raises:
        ParametersError: its parameters are wrong.
        UnmeasurableError: a library, the device, the model or the dataset is missing or cannot be used.
    """
    parameters = parse(task.parameters)
    with libraries("converting a model"):
        from perfrun_kernels.precision.comparing import measure  # noqa: PLC0415 -- needs torch, parameters do not
    return measure(parameters, task.budget_seconds, task.progress)
