"""Feature and target files as commands take them: read, checked, and every problem told at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from perfrun.api.target import LLM, TargetSpec
from perfrun.capabilities.registry import vocabularies
from perfrun.cli.stop import Stop
from perfrun.cli.targets import read_target
from perfrun.language.read import FeatureErrors, read_feature

DEFAULT_TARGET: Final = TargetSpec(llm=LLM())
"""What is under test where no target is given: the built-in engine with its defaults, and no Prometheus."""


def read_bytes(path: str) -> bytes:
    """Return a file's content; ``-`` is standard input.

    Raises:
        Stop: it cannot be read.
    """
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise Stop(f"{path} cannot be read: {error.strerror or error}; give a file, or - for standard input") from error


def load_target(path: str | None) -> TargetSpec:
    """Return the spec of the PerfTarget in a manifest, or of the default target where no file is named.

    Raises:
        Stop: there is none, or it is not usable; the message says where and why.
    """
    return DEFAULT_TARGET if path is None else read_target(Path(path))


def check_feature(path: str, content: bytes, target: TargetSpec, tags: str) -> str:
    """Return the feature's text once everything in it is understood.

    Raises:
        Stop: it is not; the message has a line for every problem, as file:line:column.
    """
    try:
        read_feature(content, vocabularies(target), tags)
    except FeatureErrors as errors:
        name = "standard input" if path == "-" else path
        lines = [f"{name}:{line}" for line in str(errors).splitlines()]
        raise Stop("the feature cannot be run:\n  " + "\n  ".join(lines)) from errors
    return content.decode("utf-8-sig")
