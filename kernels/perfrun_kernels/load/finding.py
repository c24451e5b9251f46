"""The load generator's own program."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from perfrun_kernels import building
from perfrun_kernels.building import CACHE_ENV, Program

__all__ = ["BINARY_ENV", "CACHE_ENV", "PROGRAM", "SOURCE", "binary"]

PROGRAM: Final = "perfrun-loadgen"
BINARY_ENV: Final = "PERFRUN_LOADGEN"
"""Environment variable with the path of the generator's binary."""

SOURCE: Final = building.SOURCES / "loadgen"


def binary() -> Path:
    """Return the generator's binary.

    Raises:
        UnmeasurableError: it is nowhere, and there is no Go or no source to build it from.
        BrokenMeasurementError: building it failed.
    """
    return Program(PROGRAM, BINARY_ENV, SOURCE, "the load generator", "MissingGenerator", "GeneratorBuild").binary()
