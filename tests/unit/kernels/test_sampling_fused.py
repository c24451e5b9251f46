"""The fused kernel against the reference: on a GPU where there is one, else by Triton's interpreter."""

import math
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
import torch
import triton
from goodness import distribution, fits

from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.sampling import fused, sampler
from perfrun_kernels.sampling.parameters import SamplingOptions

PLAIN = SamplingOptions(
    temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1.0, presence_penalty=0.0, seed=0
)
ALL = attrs.evolve(PLAIN, temperature=1.3, top_k=40, top_p=0.9, min_p=0.02)
NAN, INF = math.nan, math.inf
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DRAWS = 1024


@pytest.fixture(autouse=True)
def _few_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    # The interpreter pays for operations and not for numbers: let each program hold as much as Triton allows.
    if DEVICE == "cpu":
        monkeypatch.setattr(fused, "tile", _large)


def _large(rows: int, vocabulary: int) -> tuple[int, int]:
    block = min(triton.next_power_of_2(vocabulary), 128 if vocabulary <= 1000 else 8192)
    return min(triton.next_power_of_2(rows), 2**20 // max(block, 256)), block


def draw(logits: torch.Tensor, options: SamplingOptions, seed: int = 5, step: int = 0) -> torch.Tensor:
    return fused.draw(logits.to(DEVICE), None, options, seed, step).cpu()


@pytest.mark.parametrize("options", [
    PLAIN,
    attrs.evolve(PLAIN, temperature=0.7),
    attrs.evolve(PLAIN, top_k=6),
    attrs.evolve(PLAIN, top_p=0.8),
    attrs.evolve(PLAIN, top_p=0.3, temperature=2.0),
    attrs.evolve(PLAIN, min_p=0.5, temperature=1.5),
    attrs.evolve(PLAIN, top_k=8, top_p=0.9, min_p=0.3),
])  # fmt: skip
def test_draws_follow_the_reference(options: SamplingOptions) -> None:
    # The least likely token of all has 1.4 %: that it is never drawn has a chance below 1e-6, too.
    logits = torch.linspace(-1.0, 1.0, 12)[torch.randperm(12, generator=torch.Generator().manual_seed(3))]
    tokens = draw(logits.repeat(DRAWS, 1), options)
    probabilities = distribution(logits, options)
    assert set(tokens.tolist()) == set(probabilities.nonzero()[0].tolist())
    assert fits(tokens, probabilities)


def test_a_wrong_distribution_would_be_noticed() -> None:
    logits = torch.linspace(-2.0, 1.5, 12)
    tokens = draw(logits.repeat(4 * DRAWS, 1), PLAIN)
    assert fits(tokens, distribution(logits, PLAIN))
    assert not fits(tokens, distribution(logits, attrs.evolve(PLAIN, temperature=1.3)))
    assert not fits(tokens, distribution(logits, attrs.evolve(PLAIN, top_k=11)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("options", [attrs.evolve(PLAIN, top_p=0.9), ALL])
def test_several_blocks_of_each_number_format_are_drawn_as_one(dtype: torch.dtype, options: SamplingOptions) -> None:
    logits = (2 * torch.randn(333, generator=torch.Generator().manual_seed(1))).to(dtype)
    assert fits(draw(logits.repeat(DRAWS, 1), options), distribution(logits, options))


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (attrs.evolve(PLAIN, top_k=3), {0, 1, 3}),
        (attrs.evolve(PLAIN, top_k=1), {1}),
        (attrs.evolve(PLAIN, top_k=5, top_p=0.5), {0, 1}),
        (attrs.evolve(PLAIN, top_k=9), {0, 1, 3, 4, 5}),
    ],
)
def test_of_equal_logits_at_an_edge_the_first_are_kept(options: SamplingOptions, kept: set[int]) -> None:
    logits = torch.tensor([1.0, 2.0, -INF, 1.0, 1.0, 1.0])
    assert set(draw(logits.repeat(200, 1), options).tolist()) == kept


def test_zero_has_no_sign() -> None:
    logits = torch.tensor([-0.0, 0.0, -0.0, 0.0])
    assert set(draw(logits.repeat(100, 1), attrs.evolve(PLAIN, top_k=2)).tolist()) == {0, 1}


@pytest.mark.parametrize("options", [PLAIN, attrs.evolve(PLAIN, top_p=0.999), attrs.evolve(PLAIN, min_p=0.5)])
def test_broken_rows_are_drawn_as_defined(options: SamplingOptions) -> None:
    rows = torch.tensor([[NAN, -INF, 0.5, NAN, -1e30], [INF, 1.0, INF, NAN, 3e38], [-INF] * 5, [NAN] * 5])
    drawn = draw(rows.repeat(200, 1), options).view(200, 4)
    assert [set(drawn[:, row].tolist()) for row in range(4)] == [{2}, {0, 2}, set(range(5)), set(range(5))]


def test_a_row_without_a_number_is_drawn_from_its_first_candidates() -> None:
    rows = torch.full((200, 5), NAN)
    assert set(draw(rows, attrs.evolve(PLAIN, top_k=3, top_p=0.9999, min_p=0.5)).tolist()) == {0, 1, 2}


def test_greedy_takes_the_first_of_the_largest() -> None:
    logits = torch.tensor([[1.0, 5.0, 5.0], [NAN, -INF, -3.0], [NAN, NAN, NAN]])
    assert draw(logits, attrs.evolve(PLAIN, temperature=0.0, top_k=1)).tolist() == [1, 2, 0]


def test_penalties_are_those_of_the_reference_step_by_step() -> None:
    generator = torch.Generator().manual_seed(2)
    options = attrs.evolve(PLAIN, temperature=0.0, repetition_penalty=1.7, presence_penalty=0.6)
    prompt = torch.randint(50, (6, 9), generator=generator)
    ours = fused.FusedDrawer(options, prompt.to(DEVICE), 50, seed=1)
    theirs = sampler.HostDrawer(options, prompt, seed=1)
    logits = torch.randn(6, 50, generator=generator)
    for _ in range(12):
        assert ours.next(logits.to(DEVICE)).cpu().tolist() == theirs.next(logits).tolist()


def test_the_seed_the_step_and_the_row_decide() -> None:
    logits = torch.zeros(32, 200)
    first = draw(logits, ALL, seed=2**62, step=3)
    assert torch.equal(first, draw(logits, ALL, seed=2**62, step=3))
    for other in (draw(logits, ALL, seed=2**62 + 1, step=3), draw(logits, ALL, seed=2**62, step=4)):
        assert not torch.equal(first, other)
    assert len(set(first.tolist())) > 1


def test_a_row_does_not_depend_on_how_many_there_are() -> None:
    logits = torch.randn(40, 150, generator=torch.Generator().manual_seed(9))
    assert torch.equal(draw(logits, ALL)[:3], draw(logits[:3], ALL))


def test_rows_may_lie_apart() -> None:
    apart = torch.randn(5, 3, 60, generator=torch.Generator().manual_seed(9))
    assert torch.equal(draw(apart[:, -1], ALL), draw(apart[:, -1].contiguous(), ALL))
    turned = torch.randn(60, 5, generator=torch.Generator().manual_seed(9)).T
    assert torch.equal(draw(turned, ALL), draw(turned.contiguous(), ALL))


def test_prompts_on_a_gpu_are_drawn_for_by_the_kernel() -> None:
    prompt: Any = SimpleNamespace(is_cuda=True)
    assert isinstance(sampler.drawer(PLAIN, prompt, 50, seed=0), fused.FusedDrawer)
    assert isinstance(sampler.drawer(PLAIN, torch.zeros(1, 1), 50, seed=0), sampler.HostDrawer)


def test_a_kernel_that_cannot_be_compiled_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("Failed to find C compiler.\nMore of it")

    device = torch.device(DEVICE)
    fused.prepare(ALL, 2, 50, torch.bfloat16, device)
    monkeypatch.setattr(fused, "draw", fail)
    with pytest.raises(
        UnmeasurableError, match=r"compiled here: Failed to find C compiler[.]: use perfrun's"
    ) as caught:
        fused.prepare(ALL, 2, 50, torch.bfloat16, device)
    assert caught.value.reason == "NoKernelCompiler"


@pytest.mark.full
@pytest.mark.parametrize(("rows", "vocabulary"), [(512, 32_000), (128, 128_256), (32, 262_144)])
@pytest.mark.parametrize("scale", [0.3, 4.0])
@pytest.mark.parametrize("options", [PLAIN, attrs.evolve(PLAIN, top_p=0.9), ALL])
def test_large_vocabularies_follow_the_reference(
    rows: int, vocabulary: int, scale: float, options: SamplingOptions
) -> None:
    logits = scale * torch.randn(vocabulary, generator=torch.Generator().manual_seed(vocabulary))
    assert fits(draw(logits.repeat(rows, 1), options), distribution(logits, options))


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from perfrun_kernels.sampling.triton_kernels import sample

fixed = {{"GREEDY": False, "TOP_K": True, "TOP_P": True, "PENALISED": True, "ROWS": {rows}, "BLOCK": {block}}}
types = {{"logits": "*{dtype}", "marks": "*u8", "tokens": "*i64", "seed": "i64"}}
types |= {{name: "i32" for name in ("rows", "vocabulary", "stride", "top_k", "step")}}
signature = {{name: "constexpr" if name in fixed else types.get(name, "fp32") for name in sample.arg_names}}
source = ASTSource(fn=sample, signature=signature, constexprs=fixed)
options = {{"num_warps": 8, "enable_fp_fusion": False}}
print(len(triton.compile(source, target=GPUTarget("cuda", {capability}, 32), options=options).asm["cubin"]))
"""


def compiled(capability: int, dtype: str, rows: int, block: int) -> int:
    """Return the bytes of the kernel's machine code for a GPU that need not be here."""
    program = COMPILE.format(capability=capability, dtype=dtype, rows=rows, block=block)
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_it_compiles_for_a_gpu() -> None:
    assert compiled(90, "bf16", 1, 4096) > 10_000


@pytest.mark.full
@pytest.mark.parametrize("capability", [75, 80, 90, 100])
@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize(("rows", "block"), [(1, 4096), (32, 64)])
def test_it_compiles_for_every_gpu(capability: int, dtype: str, rows: int, block: int) -> None:
    assert compiled(capability, dtype, rows, block) > 10_000
