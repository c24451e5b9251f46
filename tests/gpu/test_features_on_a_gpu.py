"""The feature files' own words, measured on a real GPU and judged as a run judges them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
from stages import Answer, process

from perfrun.api.feature import Policy
from perfrun.api.verdicts import Verdict
from perfrun_kernels.contract import Result
from perfrun_kernels.sampling.decoding import Forward
from perfrun_kernels.sampling.models import load
from perfrun_kernels.sampling.parameters import BuiltinParameters, parse

SHORT = {"memory": {"soak": "30s"}}
PROJECTED = Policy(accept_projected=True)
HOLD = """
import torch
held = torch.empty(3 << 30, dtype=torch.uint8, device="cuda")
print("held", flush=True)
input()
"""
"""Another tenant of the card: 3 GiB, which is more than any context takes, for as long as its input is open."""


@pytest.fixture
def neighbour() -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield
        other.communicate("\n", timeout=60)


def watched(result: Result) -> None:
    """Check that the figures of a result came from this GPU, and that NVML watched it meanwhile."""
    facts, scalars = result.facts, result.scalars
    assert (facts["device"], facts["device_name"]) == ("cuda", torch.cuda.get_device_name())
    assert str(facts["gpu_uuid"]).startswith("GPU-")
    assert str(facts["gpu_memory_source"]).startswith("NVML")
    peak, inside = scalars["gpu_memory_peak"].value, scalars["torch_memory_peak"].value
    assert peak is not None
    assert inside is not None
    # What torch holds lies inside of what the driver counts, and both lie on the card.
    assert 0 < inside <= peak <= torch.cuda.get_device_properties(0).total_memory
    assert (scalars["gpu.readings"].value or 0) > 10


def test_low_precision_and_memory_are_judged(verdicts: Callable[..., Answer]) -> None:
    answer = verdicts("gpu_kernel_optimization", SHORT, policy=PROJECTED)
    for result in answer.results.values():
        watched(result)
    found = dict(answer.verdicts)
    assert found["model size should decrease by at least 40%"] == "Pass LimitMet", found
    # Half a minute may be too short to say of a day; it must have been measured all the same.
    leak = next(step for step in answer.claims if "leaks" in step.text)
    assert leak.value is not None, found
    del found[leak.text]
    assert {text: words for text, words in found.items() if words.startswith(("Inconclusive", "Error"))} == {}
    precision = answer.results["s1-optimization"]
    assert precision.facts["items"] == 4000
    assert len(precision.series["speed.before"].values) == 40
    assert (precision.scalars["memory.after"].value or 0) < (precision.scalars["memory.before"].value or 0)


def test_sampling_is_judged_at_every_size(verdicts: Callable[..., Answer]) -> None:
    answer = verdicts("llm_sampling_performance")
    assert [result.facts["parameters"] for result in answer.results.values()] == sorted(
        result.facts["parameters"] for result in answer.results.values()
    )
    for result in answer.results.values():
        watched(result)
        assert str(result.facts["timing"]).startswith("CUDA events")
    # Whether it is fast enough, and steady, is this card's matter; that memory is told is perfrun's.
    memory = [step for step in answer.claims if "memory" in step.text]
    assert [step.verdict for step in memory] == [Verdict.PASS] * 3
    assert [step.reason for step in answer.claims if step.verdict is Verdict.ERROR] == []


def test_decoding_makes_no_plan_for_every_length() -> None:
    parameters = parse({"batch_size": 2, "sequence_length": 16, "num_tokens": 8})
    assert isinstance(parameters, BuiltinParameters)
    device = torch.device("cuda")
    decoder = load(parameters, device)
    with torch.inference_mode():
        forward = Forward(decoder, 32)
        tokens = forward.prefill(torch.zeros((2, 16), dtype=torch.int64, device=device)).argmax(-1)
        with torch.profiler.profile() as profile:
            forward.step(tokens)
    called = {event.key for event in profile.key_averages()}
    assert "aten::scaled_dot_product_attention" in called
    assert {name for name in called if "cudnn_attention" in name} == set()


def test_a_card_that_another_process_uses_proves_nothing(verdicts: Callable[..., Answer], neighbour: None) -> None:
    def program(kind: str, parameters: Mapping[str, Any], seconds: float) -> Result:
        brief = {"items": 200, "rounds": 10} if kind == "precision" else {}
        return process(kind, {**parameters, **brief}, min(seconds, 60))

    words = verdicts("gpu_kernel_optimization", {"memory": {"soak": "5s"}}, program).verdicts
    assert words["inference speed should increase by at least 50%"] == "Inconclusive GPUShared", words
    assert words["memory fragmentation should be below 10%"] == "Inconclusive GPUShared", words
    # The bytes of weights are whoever else is there.
    assert words["model size should decrease by at least 40%"] == "Pass LimitMet", words


def test_more_than_the_card_has_is_said() -> None:
    large = {"config": {
        "hidden_size": 16384, "intermediate_size": 65536, "layers": 200, "heads": 128, "kv_heads": 128,
        "vocab_size": 32000,
    }}  # fmt: skip
    parameters = {"model": large | {"dtype": "bfloat16"}, "batch_size": 1, "sequence_length": 8, "num_tokens": 8}
    result = process("sampling", parameters, 60)
    assert (result.outcome, result.reason) == ("Unmeasurable", "OutOfMemory"), result
