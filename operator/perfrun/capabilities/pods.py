"""The stage of a pod that measures by itself: what every such pod of a target has in common."""

from __future__ import annotations

from collections.abc import Mapping

from perfrun.api.base import JSON
from perfrun.api.durations import seconds
from perfrun.api.plan import Stage
from perfrun.api.target import TargetSpec
from perfrun.capabilities.base import Settings
from perfrun_kernels.contract import GRACE_SECONDS


def pod_stage(
    name: str, program: str, parameters: Mapping[str, JSON], length: float, target: TargetSpec, settings: Settings,
    gpus: int = 0,
) -> Stage:  # fmt: skip
    """Return a scenario's stage ``name``: a pod that runs a program for ``length`` seconds at most."""
    return Stage(
        id=f"s{settings.index + 1}-{name}", scenario=settings.index, kind="pod", program=program,
        parameters=dict(parameters), gpus=gpus, seconds=length, start_timeout=seconds(target.pods.start_timeout),
        timeout=length + GRACE_SECONDS, attempts=target.pods.attempts,
    )  # fmt: skip
