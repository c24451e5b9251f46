"""How a program says that it cannot measure: the reasons that end up in a result, apart from defects."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from perfrun_kernels.program import Fact


class ParametersError(ValueError):
    """The request's parameters are wrong; the message names each of them with what was expected."""


class BrokenMeasurementError(Exception):
    """The measurement ran into something that makes its numbers worthless; ``reason`` is one CamelCase word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class UnmeasurableError(Exception):
    """The world lacks something that the measurement needs; ``reason`` is one CamelCase word, ``facts`` are counts."""

    def __init__(self, reason: str, message: str, facts: Mapping[str, Fact] | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.facts = dict(facts or {})


class Terminated(SystemExit):
    """Raised in the main thread when the pod is told to stop.

    It derives from SystemExit because asyncio lets only that and KeyboardInterrupt out of its loop at once.
    """
