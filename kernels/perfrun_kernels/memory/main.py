"""The memory program: checks its parameters, then hands them to the engine that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfrun_kernels.faults import UnmeasurableError
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
    try:
        if isinstance(parameters, Served):
            from perfrun_kernels.memory import openai  # noqa: PLC0415 -- needs aiohttp, the other engine does not

            return openai.measure(parameters, task)
        from perfrun_kernels.memory import builtin  # noqa: PLC0415 -- needs torch, the other engine does not
    except ModuleNotFoundError as error:
        raise UnmeasurableError(
            "MissingLibrary",
            f"the library {error.name} is not in this image, but the memory program needs it: "
            "use an image with perfrun[kernels]",
        ) from error
    return builtin.measure(parameters, task)
