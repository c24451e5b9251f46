"""How a sampling pod's result becomes values, and which results become none."""

from __future__ import annotations

import random
from typing import Any

import pytest

from perfrun.api.plan import Claim
from perfrun.capabilities.base import Evidence, Measured, NotMeasured
from perfrun.capabilities.sampling import Sampling
from perfrun.capabilities.sampling_values import describe
from perfrun_kernels.contract import Result, Scalar, Series


def claim(key: str, unit: str, **parameters: Any) -> Claim:
    given = {"series": "step_seconds", "quantile": 0.99, "looks": 0, "streams": 1, "batch_size": 32, "model_size": "xs"}
    return Claim(
        subject=f"sampling.{key}", label=key, comparator="<", limit=1, unit=unit, parameters=given | parameters
    )  # fmt: skip


LATENCY = claim("p99_latency", "ms")
THROUGHPUT = claim("throughput", "tokens/s")
MEMORY = claim("gpu_memory", "GB")


def noise(count: int, level: float, seed: int = 1) -> list[float]:
    draw = random.Random(seed)
    return [level * (1 + draw.gauss(0, 0.02)) for _ in range(count)]


def result(steps: list[float], starts: list[int] | None = None, **changes: Any) -> Result:
    values: dict[str, Any] = {
        "run": "r", "stage": "s", "attempt": 1, "outcome": "Completed", "started": 100.0, "finished": 160.0,
        "series": {"step_seconds": Series("s", steps, starts or [0])},
        "scalars": {"gpu_memory_peak": Scalar("bytes", 2.5e9), "torch_memory_peak": Scalar("bytes", 2e9)},
        "facts": {"device": "cuda", "dtype": "bfloat16", "parameters": 134_000_000, "model_size": "small"},
    }  # fmt: skip
    return Result(**(values | changes))


def measured(what: Claim, of: Result) -> Measured:
    found = Sampling().measure(what, Evidence(result=of, pod="pod-1"), 0.99)
    assert isinstance(found, Measured), found
    return found


def unmeasured(what: Claim, of: Result) -> NotMeasured:
    found = Sampling().measure(what, Evidence(result=of, pod="pod-1"), 0.99)
    assert isinstance(found, NotMeasured), found
    return found


def test_latency_is_the_quantile_of_the_steps_after_warm_up_with_its_bounds() -> None:
    found = measured(LATENCY, result([0.5] * 20 + noise(1980, 0.008)))
    assert 8.0 < found.lower <= found.value <= found.upper < 9.0
    assert found.samples <= 1980
    assert found.facts["warm_up_samples"] >= 20
    assert found.window.start.timestamp() == 100.0
    assert found.source.name == "pod-1"


def test_stopping_early_and_parallel_streams_widen_the_bounds() -> None:
    steps = noise(3000, 0.008)
    plain = measured(LATENCY, result(steps))
    looked = measured(claim("p99_latency", "ms", looks=4), result(steps))
    streamed = measured(claim("p99_latency", "ms", streams=4), result(steps))
    assert looked.lower < plain.lower
    assert looked.upper > plain.upper
    assert streamed.effective_samples == pytest.approx(plain.effective_samples / 4)
    assert streamed.upper > plain.upper


def test_a_burst_of_slow_steps_is_worth_less_than_slow_steps_apart() -> None:
    steps = noise(3000, 0.008)
    burst, apart = steps.copy(), steps.copy()
    for at in range(60):
        burst[1700 + at] = apart[30 + 49 * at] = 0.02
    assert measured(LATENCY, result(burst)).effective_samples < measured(LATENCY, result(apart)).effective_samples


def test_throughput_of_few_rounds_comes_from_the_steps() -> None:
    found = measured(THROUGHPUT, result(noise(2000, 0.008)))
    assert found.lower < 4000 < found.upper
    assert found.value == pytest.approx(4000, rel=0.01)


def test_throughput_of_many_rounds_comes_from_the_rounds_without_the_first() -> None:
    of = result(noise(500, 0.008))
    of.series["round_tokens_per_second"] = Series("1/s", [100.0, *noise(8, 3000.0)])
    found = measured(THROUGHPUT, of)
    assert found.samples == 8
    assert found.value == pytest.approx(3000, rel=0.03)


def test_memory_is_exact_and_shows_what_torch_saw() -> None:
    found = measured(MEMORY, result([0.01]))
    assert (found.value, found.lower, found.upper) == (2.5, 2.5, 2.5)
    assert found.facts["torch_memory_peak_bytes"] == 2e9


@pytest.mark.parametrize(
    ("scalars", "facts", "reason", "said"),
    [
        ({"gpu_memory_peak": Scalar("bytes", None, "no GPU here")}, {"device": "cpu"}, "NoGPU", "no GPU here"),
        ({}, {"device": "cpu"}, "NoGPU", "no reading of GPU memory"),
        ({"gpu_memory_peak": Scalar("bytes", None, "NVML broke")}, {"device": "cuda"}, "NoReading", "NVML broke"),
    ],
)
def test_memory_that_was_not_read_says_why(
    scalars: dict[str, Scalar], facts: dict[str, str], reason: str, said: str
) -> None:
    found = unmeasured(MEMORY, result([0.01], scalars=scalars, facts=facts))
    assert found.reason == reason
    assert said in found.message
    assert not found.broken


@pytest.mark.parametrize(
    ("what", "seen", "reason"),
    [
        (LATENCY, {"gpu.readings": 600, "gpu.throttled": 0.5}, "GPUThrottled"),
        (THROUGHPUT, {"gpu.readings": 600, "gpu.throttled": 0.5}, "GPUThrottled"),
        (LATENCY, {"gpu.throttled": 0, "gpu.others": 1}, "GPUShared"),
        (MEMORY, {"gpu.throttled": 0, "gpu.others": 1}, "GPUShared"),
    ],
)
def test_a_gpu_that_was_disturbed_gives_no_value(what: Claim, seen: dict[str, float], reason: str) -> None:
    disturbed = result(noise(2000, 0.008))
    disturbed.scalars.update({name: Scalar("1", value) for name, value in seen.items()})
    assert unmeasured(what, disturbed).reason == reason


def test_a_slow_clock_takes_no_memory() -> None:
    throttled = result([])
    throttled.scalars.update({"gpu.readings": Scalar("1", 600), "gpu.throttled": Scalar("1", 0.5)})
    assert measured(MEMORY, throttled).value == pytest.approx(2.5)


def test_drifting_steps_have_no_steady_state() -> None:
    steps = [value * 2 ** (at / 500) for at, value in enumerate(noise(2000, 0.008))]
    found = unmeasured(LATENCY, result(steps, [0, 500, 1000, 1500]))
    assert found.reason == "NoSteadyState"


@pytest.mark.parametrize(("outcome", "broken"), [("Unmeasurable", False), ("Failed", True)])
def test_a_pod_that_did_not_measure_speaks_for_itself(outcome: str, broken: bool) -> None:
    found = unmeasured(LATENCY, result([], outcome=outcome, reason="OutOfMemory", message="memory ran out"))
    assert (found.reason, found.message, found.broken) == ("OutOfMemory", "memory ran out", broken)
    assert found.facts["device"] == "cuda"


def test_a_result_without_the_series_is_no_value() -> None:
    assert unmeasured(LATENCY, result([], series={})).reason == "NoSamples"


def test_nobody_can_take_a_cpu_for_a_gpu() -> None:
    found = measured(
        LATENCY, result([0.01] * 500, facts={"device": "cpu", "dtype": "float32", "parameters": 3_147_456})
    )
    assert found.note == "on cpu, 3.15 M parameters, float32"
    assert found.facts["model_size"] == "xs"


def test_what_a_server_says_of_itself_stands_beside_and_decides_nothing() -> None:
    facts = {"engine": "openai", "server_itl_mean_seconds": 0.004, "server_ttft_mean_seconds": 0.5}
    found, alone = (measured(LATENCY, result(noise(500, 0.01), facts=each)) for each in (facts, {"engine": "openai"}))
    assert found.note == "engine openai, by the server's own count 0.004 s on average"
    assert alone.note == "engine openai"
    assert (found.value, found.lower, found.upper) == (alone.value, alone.lower, alone.upper)


@pytest.mark.parametrize(
    ("facts", "note"),
    [
        ({"engine": "openai", "url": "http://v"}, "engine openai"),
        ({"device": "cuda", "parameters": 6.7e9}, "on cuda, 6.7 B parameters"),
        ({"parameters": 12}, "12 parameters"),
        ({}, ""),
    ],
)
def test_what_was_measured_is_described_as_far_as_it_is_known(facts: dict[str, Any], note: str) -> None:
    assert describe(facts) == note
