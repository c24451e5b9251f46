"""What stands behind a model's size in a target, as the programs that run a language model are told."""

from __future__ import annotations

from typing import Final

from perfrun.api.base import JSON
from perfrun.api.target import LLM, TargetSpec
from perfrun.capabilities.base import PlanError

BUILTIN_SIZES: Final = ("small", "medium", "large")
"""Sizes for which the built-in engine has an architecture of its own; others need one in the target."""


def llm_of(target: TargetSpec, scenario: str, does: str) -> LLM:
    """Return the language model under test; the scenario of this name ``does`` something with it.

    Raises:
        PlanError: the target names none.
    """
    if target.llm is None:
        msg = (
            f"scenario {scenario!r} {does} a language model, but the target names none; "
            "add spec.llm to the PerfTarget (llm: {} uses the built-in engine)"
        )
        raise PlanError(msg)
    return target.llm


def model(size: str, llm: LLM) -> dict[str, JSON]:
    """Return what the built-in engine is told of a model.

    Raises:
        PlanError: the size has no architecture.
    """
    found = llm.models.get(size)
    if found is None and size not in BUILTIN_SIZES:
        msg = (
            f"model size {size!r} has no built-in architecture (there are {', '.join(BUILTIN_SIZES)}); "
            f"describe it under spec.llm.models.{size} of the PerfTarget"
        )
        raise PlanError(msg)
    # The program names its built-in sizes; a size of the target's own comes with its architecture or path.
    described: dict[str, JSON] = {"size": size if size in BUILTIN_SIZES else "small", "dtype": llm.dtype, "seed": 0}
    if found is not None and found.config is not None:
        described["config"] = found.config.model_dump(mode="json")
    elif found is not None and found.path is not None:
        described["path"] = found.path
    elif size not in BUILTIN_SIZES:
        msg = f"spec.llm.models.{size} has neither config nor path; the built-in engine needs one of them"
        raise PlanError(msg)
    return described


def server(size: str, llm: LLM) -> dict[str, JSON]:
    """Return what a client of an OpenAI-compatible server is told of the server and of a model there.

    Raises:
        PlanError: the target lacks the server's URL, or the model's name at the server.
    """
    found = llm.models.get(size)
    if not llm.url:
        msg = "spec.llm.engine is openai, but spec.llm.url is missing; add the server's base URL, ending in /v1"
        raise PlanError(msg)
    if found is None or not found.name:
        msg = f"model size {size!r} has no name at the server; add spec.llm.models.{size}.name to the PerfTarget"
        raise PlanError(msg)
    described: dict[str, JSON] = {"url": llm.url, "model_name": found.name}
    if llm.api_key_secret:
        described["api_key_env"] = "PERFRUN_API_KEY"
    if llm.server:
        described["server"] = llm.server
    if llm.metrics_url:
        described["metrics_url"] = llm.metrics_url
    return described
