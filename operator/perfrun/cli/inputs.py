"""Feature and target files as commands take them: read, checked, and every problem told at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import pydantic
import yaml

from perfrun.api import API_VERSION
from perfrun.api.target import LLM, TargetSpec
from perfrun.capabilities.registry import vocabularies
from perfrun.cli.stop import Stop
from perfrun.language.read import FeatureErrors, read_feature
from perfrun.lifecycle.check_target import target_problems

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
    """Return the spec of the one PerfTarget in a YAML file, or of the default target where no file is named.

    Raises:
        Stop: there is none, there are several, or it is not usable; the message says where and why.
    """
    if path is None:
        return DEFAULT_TARGET
    try:
        documents = [each for each in yaml.safe_load_all(read_bytes(path)) if each is not None]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Stop(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    found = [each for each in documents if isinstance(each, dict) and each.get("kind") == "PerfTarget"]
    if len(found) != 1:
        raise Stop(
            f"{path} holds {len(found)} PerfTargets and {len(documents)} documents; expected exactly one PerfTarget"
        )
    return _target(path, found[0])


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


def _target(path: str, document: dict[str, Any]) -> TargetSpec:
    if document.get("apiVersion") != API_VERSION:
        raise Stop(f"{path}: apiVersion is {document.get('apiVersion')!r}; expected {API_VERSION}")
    try:
        spec = TargetSpec.from_wire(document.get("spec") or {})
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(["spec", *(str(part) for part in first["loc"])])
        raise Stop(f"{path}: {place}: {first['msg']}, found {str(first['input'])[:80]!r}") from error
    if problems := target_problems(spec):
        raise Stop(f"{path}: {'; '.join(problems)}")
    return spec
