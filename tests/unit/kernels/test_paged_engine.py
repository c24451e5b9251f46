"""The engine for batches that come and go draws what the plain one draws, and computes no prefix twice."""

from __future__ import annotations

import attrs
import pytest
import torch

from perfrun_kernels.faults import BrokenMeasurementError
from perfrun_kernels.memory.parameters import Work
from perfrun_kernels.memory.workload import Prompts
from perfrun_kernels.paged import engine as paged
from perfrun_kernels.paged.engine import PagedEngine
from perfrun_kernels.sampling.decoding import Forward
from perfrun_kernels.sampling.models import Decoder, build
from perfrun_kernels.sampling.parameters import Architecture, SamplingOptions

GREEDY = SamplingOptions(0, 0, 1.0, 0.0, 1.0, 0.0, 0)
WORK = Work(
    batches=3, batch_size=3, prefix_tokens=20, prefixes=2, unique_tokens=9, num_tokens=6, soak_seconds=1,
    samples_every=1, checkpoint_seconds=60, done_seconds=0, segments=0, seed=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return build(Architecture(64, 64, 2, 4, 2, 512), torch.device("cpu"), "float32", 64, 3)


class Noted(PagedEngine):
    """Notes the tokens that each batch is given."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.given: dict[int, list[torch.Tensor]] = {}

    def _draw(self, batch, logits) -> None:
        super()._draw(batch, logits)
        self.given.setdefault(batch.seed, []).append(batch.tokens.clone())


def run(engine: PagedEngine, prompts: Prompts, batches: int) -> list:
    """Let batches in one after the other, a step between each, and finish all."""
    made = []
    for seed in range(batches):
        made.append(prompts.batch())
        engine.add(made[-1], WORK.num_tokens, seed)
        engine.step()
    while engine.under_way:
        engine.step()
    return made


@pytest.mark.parametrize(("size", "blocks", "part"), [(4, 200, 2048), (7, 40, 8), (16, 100, 11)])
def test_it_draws_what_the_plain_engine_draws(decoder, monkeypatch, size, blocks, part):
    monkeypatch.setattr(paged, "PART", part)
    with torch.inference_mode():
        engine = Noted(decoder, GREEDY, blocks, size)
        made = run(engine, Prompts(WORK, decoder.vocabulary), 5)
        for seed, batch in enumerate(made):
            forward = Forward(decoder, 64)
            tokens = [forward.prefill(torch.tensor([list(each) for each in batch])).argmax(-1)]
            for _ in range(WORK.num_tokens - 1):
                tokens.append(forward.step(tokens[-1]).argmax(-1))
            assert torch.equal(torch.stack(tokens), torch.stack(engine.given[seed]))


def test_every_shared_token_is_found_where_there_is_room(decoder):
    prompts = Prompts(WORK, decoder.vocabulary)
    with torch.inference_mode():
        engine = PagedEngine(decoder, GREEDY, 200, 4)
        run(engine, prompts, 6)
    assert engine.queries == 18 * 29
    assert engine.hits == prompts.ideal() == 16 * 20
    assert 0 < engine.waste < 0.25


def test_a_part_of_a_block_is_copied_and_the_whole_one_stays(decoder):
    prompts = Prompts(attrs.evolve(WORK, prefix_tokens=18), decoder.vocabulary)
    with torch.inference_mode():
        engine = PagedEngine(decoder, GREEDY, 200, 4)
        run(engine, prompts, 6)
    assert engine.hits == prompts.ideal() == 16 * 18


def test_one_without_room_computes_prefixes_again(decoder):
    work = attrs.evolve(WORK, prefixes=12)
    prompts = Prompts(work, decoder.vocabulary)
    with torch.inference_mode():
        engine = PagedEngine(decoder, GREEDY, 30, 4)
        run(engine, prompts, 12)
    assert engine.hits < 0.5 * prompts.ideal()


def test_a_batch_waits_until_there_is_room_and_one_that_never_has_it_is_refused(decoder):
    prompts = Prompts(WORK, decoder.vocabulary)
    with torch.inference_mode():
        engine = PagedEngine(decoder, GREEDY, 28, 4)
        for seed in range(3):
            engine.add(prompts.batch(), WORK.num_tokens, seed)
        steps = 0
        while engine.under_way:
            engine.step()
            steps += 1
        assert steps >= 3 * (WORK.num_tokens - 1)
        with pytest.raises(ValueError, match="cache has 27 blocks; expected more than the 27 of this batch"):
            PagedEngine(decoder, GREEDY, 27, 4).add(prompts.batch(), WORK.num_tokens, 0)


def test_logits_that_are_not_finite_end_it():
    broken = build(Architecture(64, 64, 2, 4, 2, 512), torch.device("cpu"), "float32", 64, 3)
    with torch.inference_mode():
        next(broken.model.parameters()).fill_(float("nan"))
        engine = PagedEngine(broken, GREEDY, 100, 4)
        with pytest.raises(BrokenMeasurementError, match="not finite with dtype float32"):
            run(engine, Prompts(WORK, broken.vocabulary), 1)
