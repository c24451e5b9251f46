"""Figures of a GPU that was held back, shared or faulty are no evidence; those of a quiet one, or of none, are."""

from __future__ import annotations

import pytest

from perfrun.capabilities.gpu import disturbed, spoilt
from perfrun_kernels.contract import Result, Scalar

QUIET = {"readings": 600.0, "throttled": 0.0, "others": 0.0, "errors": 0.0}


def result(scalars: dict[str, float], **facts: str) -> Result:
    counts = {f"gpu.{name}": Scalar("1", value) for name, value in scalars.items()}
    return Result("run", "stage", 1, "Completed", 0.0, 60.0, scalars=counts, facts=dict(facts))


@pytest.mark.parametrize(
    "seen",
    [
        {},
        {"throttled": 1 / 600},
        {"readings": 20.0, "throttled": 1 / 20},
        {"taken": 600e6},
        {"errors": 0.0},
    ],
)
def test_a_quiet_gpu_is_believed(seen: dict[str, float]) -> None:
    assert disturbed(result(QUIET | seen)) is None


def test_nothing_is_said_where_no_gpu_was_watched() -> None:
    assert disturbed(result({}, device="cpu")) is None


@pytest.mark.parametrize(
    ("seen", "reason", "said"),
    [
        ({"throttled": 0.125}, "GPUThrottled", "the GPU was throttled in 12.5% of 600 readings (thermal slowdown)"),
        ({"others": 1.0}, "GPUShared", "1 other process was on the GPU at the same time"),
        ({"others": 3.0}, "GPUShared", "3 other processes were on the GPU at the same time"),
        ({"taken": 3 * 2**30}, "GPUShared", "3.0 GiB of the GPU's memory were in use before the measuring began"),
        ({"errors": 2.0}, "GPUErrors", "the GPU counted 2 uncorrected memory errors meanwhile"),
    ],
)
def test_a_disturbed_gpu_is_named_with_the_reason(seen: dict[str, float], reason: str, said: str) -> None:
    assert disturbed(result(QUIET | seen, gpu_throttle="thermal slowdown")) == (reason, said)


def test_a_gpu_that_could_not_be_watched_is_not_taken_for_a_quiet_one() -> None:
    blind = Result(
        "run", "stage", 1, "Completed", 0.0, 60.0, scalars={"gpu.throttled": Scalar("1", None, "NVML is not there")}
    )
    assert disturbed(blind) == (
        "GPUUnwatched", "whether the GPU was throttled or shared is not known: NVML is not there",
    )  # fmt: skip


def test_a_slow_clock_changes_no_byte_but_company_does() -> None:
    assert spoilt(result(QUIET | {"throttled": 0.5})) is None
    assert spoilt(result(QUIET | {"throttled": 0.5, "others": 1.0})) is not None
