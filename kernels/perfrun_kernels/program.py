"""The programs that a benchmark pod can run, by the kind that a request names.

Each is imported only when asked for, so that a pod without its libraries can still say which one is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import attrs

from perfrun_kernels.faults import ParametersError

if TYPE_CHECKING:
    from perfrun_kernels.contract import Attachment, Histogram, Scalar, Series, Table

Fact = str | int | float | bool
Progress = Callable[[str], None]
"""Takes one line for people who watch the pod's log."""


@attrs.frozen
class Measurement:
    """What a program measured; ``started`` and ``finished`` bound the measuring itself in seconds since the epoch."""

    started: float
    finished: float
    series: Mapping[str, Series]
    scalars: Mapping[str, Scalar]
    facts: Mapping[str, Fact]
    histograms: Mapping[str, Histogram] = attrs.field(factory=dict)
    tables: Mapping[str, Table] = attrs.field(factory=dict)
    attachments: Mapping[str, Attachment] = attrs.field(factory=dict)


Checkpoint = Callable[[Measurement], None]
"""Takes a measurement while the program goes on; it waits for a few seconds at most, and nothing comes of a failure."""


def _keep_nothing(_: Measurement) -> None:
    """Take a checkpoint where nobody wants it."""


@attrs.frozen
class Task:
    """What a program gets: its unchecked ``parameters``, the seconds that measuring may take, and where to report.

    ``index`` says which of the pods of an Indexed Job this is, None where it is no such pod. All of them get the same
    request. ``checkpoint`` hands in what the program would return if it ended now, which counts if its pod is lost.
    """

    parameters: Mapping[str, Any]
    budget_seconds: float
    progress: Progress
    index: int | None = None
    checkpoint: Checkpoint = _keep_nothing


Program = Callable[[Task], Measurement]

KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "forecast": "perfrun_kernels.forecast.main",
        "load": "perfrun_kernels.load.main",
        "memory": "perfrun_kernels.memory.main",
        "network": "perfrun_kernels.network.main",
        "precision": "perfrun_kernels.precision.main",
        "sampling": "perfrun_kernels.sampling.main",
        "telemetry": "perfrun_kernels.telemetry.main",
    }
)
"""Module of each kind; it offers ``run``, a Program."""


def find(kind: str) -> Program:
    """Return the program of ``kind``.

    Raises:
        ParametersError: there is none.
    """
    if kind not in KINDS:
        msg = f"the request's kind is {kind!r}; expected one of {', '.join(sorted(KINDS))}: use a matching image"
        raise ParametersError(msg)
    program: Program = import_module(KINDS[kind]).run
    return program
