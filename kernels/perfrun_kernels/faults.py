"""How a program says that it cannot measure: the reasons that end up in a result, apart from defects."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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


@contextmanager
def libraries(user: str) -> Iterator[None]:
    """Take a library that is not there for a matter of the image; ``user`` is what needs it, in words.

    Raises:
        UnmeasurableError: something that is imported within is not in this image.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UnmeasurableError(
            "MissingLibrary",
            f"the library {error.name} is not in this image, but {user} needs it: use an image with perfrun[kernels]",
        ) from error


class Terminated(SystemExit):
    """Raised in the main thread when the pod is told to stop.

    It derives from SystemExit because asyncio lets only that and KeyboardInterrupt out of its loop at once.
    """
