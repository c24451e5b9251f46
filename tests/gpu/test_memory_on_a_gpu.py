"""torch's own allocator on a real GPU: leaks there are seen, and the simulated card does as it does."""

from __future__ import annotations

import pytest
import torch
from memory import CLAIMS, judged
from memorybed import engines
from memorybed.caching import Caching

from perfrun.api.verdicts import Verdict
from perfrun.judging.judge import Judgement
from perfrun_kernels.memory.allocators import CudaAllocator
from perfrun_kernels.paged.engine import PagedEngine

SECONDS = 8.0


class Card:
    """Takes memory of the real GPU, and holds it until it is given back."""

    def __init__(self) -> None:
        self._live: list[torch.Tensor] = []

    def allocate(self, size: int) -> torch.Tensor:
        self._live.append(torch.empty(size, dtype=torch.uint8, device="cuda"))
        return self._live[-1]

    def free(self, block: torch.Tensor) -> None:
        block.untyped_storage().resize_(0)

    def close(self) -> None:
        self._live.clear()


def on_the_gpu(size: int) -> object:
    return torch.empty(size, dtype=torch.uint8, device="cuda")


def leak(make: engines.Make) -> Judgement:
    # What libraries keep of the first seconds is no leak.
    engines.watch(PagedEngine, 2.0, device="cuda")
    return judged(CLAIMS["leak"], engines.watch(make, SECONDS, device="cuda"))


def test_what_leaks_in_the_gpus_memory_fails() -> None:
    found = leak(engines.leaking(64 << 10, on_the_gpu))
    assert found.verdict is Verdict.FAIL, found
    assert "GPU memory" in found.message, found


def test_what_leaks_nothing_does_not_fail() -> None:
    found = leak(PagedEngine)
    assert found.verdict is not Verdict.FAIL, found


@pytest.mark.parametrize("lasting", [0, 1_100_000, 1_900_000, 3_000_000])
def test_the_simulated_card_splits_and_merges_as_torch_does(lasting: int) -> None:
    torch.cuda.init()
    # cuBLAS keeps a workspace once anything was multiplied in this process.
    torch._C._cuda_clearCublasWorkspaces()
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() == 0, "something else in this process lies on the card"
    real, made = Card(), Caching()
    device = torch.device("cuda")
    on_it, simulated = CudaAllocator(device, lambda: None), CudaAllocator(torch.device("cpu"), lambda: None, made)
    engines.on_a_graphics_card(on_it, real, lambda: lasting, 50)
    engines.on_a_graphics_card(simulated, made, lambda: lasting, 50)
    counted = torch.cuda.memory_stats(device)
    expected = {name: value for name, value in made.memory_stats(device).items() if "current" in name}
    assert {name: counted[name] for name in expected} == expected
    assert on_it.scalars()["fragmentation.worst"] == simulated.scalars()["fragmentation.worst"]
    real.close()
    torch.cuda.empty_cache()
