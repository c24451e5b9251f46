"""The memory program: what it asks for, what it keeps under way, when it looks, and what is wrong with engines."""

from __future__ import annotations

import mmap

import attrs
import pytest
from memorybed import engines
from memorybed.caching import MIB, Caching

from perfrun_kernels.faults import ParametersError, UnmeasurableError
from perfrun_kernels.memory import main, readings
from perfrun_kernels.memory.allocators import CudaAllocator, HostAllocator
from perfrun_kernels.memory.parameters import LEAST_SECONDS, Builtin, Served, Work, parse
from perfrun_kernels.memory.pipeline import soak
from perfrun_kernels.memory.workload import Prompts
from perfrun_kernels.paged.engine import PagedEngine
from perfrun_kernels.program import Measurement, Task

WORK = Work(
    batches=3, batch_size=2, prefix_tokens=5, prefixes=4, unique_tokens=2, num_tokens=6, soak_seconds=50,
    samples_every=10, checkpoint_seconds=10, done_seconds=0, segments=0, seed=0,
)  # fmt: skip


def test_what_the_operator_asks_is_understood():
    asked = parse(
        {
            "engine": "builtin", "model": {"size": "small", "dtype": "auto", "seed": 0}, "device": "auto",
            "block_tokens": 16, "blocks": 2048, "batches": 4, "batch_size": 4, "prefix_tokens": 512, "prefixes": 4,
            "unique_tokens": 16, "num_tokens": 32, "sampling": {"seed": 7}, "soak_seconds": 120.0,
            "samples_every": 0.3, "checkpoint_seconds": 60.0, "done_seconds": 0.0, "segments": 0,
        }
    )  # fmt: skip
    assert isinstance(asked, Builtin)
    assert (asked.decode.sequence_length, asked.work.seed, asked.work.left_seconds) == (528, 7, 120)
    assert attrs.evolve(asked.work, done_seconds=90.0).left_seconds == 30
    assert attrs.evolve(asked.work, done_seconds=150.0).left_seconds == LEAST_SECONDS


def test_a_server_is_asked_as_the_sampling_program_asks_one():
    asked = parse({"engine": "openai", "url": "http://vllm:8000/v1", "model_name": "m", "batches": 2})
    assert isinstance(asked, Served)
    assert (asked.client.url, asked.client.prompt_tokens, asked.work.batches) == ("http://vllm:8000/v1", 528, 2)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"blocks": 100}, "parameters.blocks is 100; expected at least 141, which one batch may need"),
        ({"prefix_tokens": 100_000, "prefixes": 2000, "blocks": 10**6}, "prefixes is 2000; expected at most 1000"),
        ({"batches": 0, "soak": 3}, "parameters.batches is 0; .*parameters.soak is not known"),
        ({"model": {"size": "tiny"}}, "parameters.model.size is 'tiny'; expected one of small, medium, large"),
    ],
)
def test_what_makes_no_sense_is_refused(given, said):
    with pytest.raises(ParametersError, match=said):
        parse(given)


def test_prompts_share_what_they_are_meant_to_share_and_part_at_once():
    prompts = Prompts(WORK, 101)
    made = [list(prompt) for _ in range(20) for prompt in prompts.batch()]
    assert prompts.made == 40
    assert prompts.ideal() == 36 * 5
    for one, prompt in enumerate(made):
        assert len(prompt) == 7
        for other in range(one):
            common = next((at for at in range(7) if prompt[at] != made[other][at]), 7)
            assert common == (5 if (one - other) % 4 == 0 else 0)
    again, later = Prompts(WORK, 101), Prompts(attrs.evolve(WORK, segments=1), 101)
    assert [list(each) for each in again.batch()] == made[:2] != [list(each) for each in later.batch()]


@pytest.mark.parametrize(("vocabulary", "changes"), [(5, {}), (7, {"prefixes": 3}), (5, {"prefix_tokens": 0})])
def test_what_prompts_share_once_the_vocabulary_has_gone_round_is_known(vocabulary, changes):
    prompts = Prompts(attrs.evolve(WORK, **{"prefix_tokens": 16, "unique_tokens": 16} | changes), vocabulary)
    seen: list[list[int]] = []
    found = 0
    for _ in range(150):
        for prompt in map(list, prompts.batch()):
            found += max(
                (next((at for at, token in enumerate(prompt) if token != other[at]), len(prompt)) for other in seen),
                default=0,
            )
            seen.append(prompt)
        assert prompts.ideal() == found


class Counting:
    """An engine that does nothing but count, and a clock that goes on by one second with each of its steps."""

    queries, hits, waste = 0, 0, 0.0

    def __init__(self) -> None:
        self.time = 0.0
        self.most = self.steps = 0
        self.left: list[int] = []
        self.seeds: list[int] = []

    @property
    def under_way(self) -> int:
        return len(self.left)

    def add(self, prompts, num_tokens, seed) -> None:
        assert len(prompts) == WORK.batch_size
        self.left.append(num_tokens)
        self.seeds.append(seed)

    def step(self) -> None:
        self.time += 1
        self.most = max(self.most, len(self.left))
        self.left = [left - 1 for left in self.left if left > 1]


class Noting:
    """Notes when it was asked to look."""

    def __init__(self, engine: Counting) -> None:
        self.engine = engine
        self.quiets: list[float] = []
        self.busies = self.kept = 0

    def busy(self) -> None:
        assert self.engine.under_way == WORK.batches
        self.busies += 1

    def quiet(self, at: float) -> None:
        assert self.engine.under_way == 0
        self.quiets.append(at)

    def keep(self) -> None:
        self.kept += 1


def test_batches_are_under_way_together_and_memory_is_looked_at_when_none_is():
    engine = Counting()
    watch = Noting(engine)
    soak(engine, Prompts(WORK, 101), WORK, 50.0, watch, lambda: engine.time)
    assert engine.most == 3
    assert len(watch.quiets) == watch.busies >= 3
    assert all(later - earlier >= 10 for earlier, later in zip(watch.quiets, watch.quiets[1:], strict=False))
    assert 50 <= watch.quiets[-1] <= 60
    assert watch.kept == len(watch.quiets) - 1
    assert len(set(engine.seeds)) == len(engine.seeds)


def test_resident_memory_is_what_the_kernel_says(tmp_path):
    # Pages of its own: an allocator may have room left of what was freed before.
    with mmap.mmap(-1, 8 << 20) as held:
        before = readings.resident()
        held.write(b"x" * len(held))
        assert readings.resident() - before == pytest.approx(len(held), rel=0.1)
    empty = tmp_path / "rollup"
    for text, said in ((None, "cannot be read"), ("Pss: 1 kB\n", "names no Rss")):
        if text:
            empty.write_text(text)
        with pytest.raises(UnmeasurableError, match=said):
            readings.resident(empty)


def test_rows_are_kept_in_order_and_those_too_many_are_left_out():
    rows = readings.Rows(("at", "rss"), 2)
    for at in range(3):
        rows.add((at, 10.0 * at))
    assert rows.table().columns == ["at", "rss"]
    assert rows.table().rows == [[0, 0], [1, 10]]


def test_a_run_hands_in_what_it_saw_and_checkpoints_on_the_way():
    kept: list[Measurement] = []
    asked = engines.TINY | {"soak_seconds": 30, "checkpoint_seconds": 0.2}
    found = main.run(Task(asked, 1.5, lambda _: None, checkpoint=kept.append))
    table = found.tables["memory"]
    assert table.columns == ["at", "rss"]
    assert len(table.rows) == found.facts["looks"] >= 2
    assert found.scalars["prefix.hits"].value == found.scalars["prefix.ideal"].value > 0
    assert found.scalars["fragmentation.worst"].value is None
    assert "no GPU" in found.scalars["fragmentation.worst"].reason
    assert (found.facts["device"], found.facts["batches"]) == ("cpu", 2)
    assert found.finished - found.started >= 1.5
    assert kept[0].tables["memory"].rows == table.rows[: len(kept[0].tables["memory"].rows)]
    assert kept[0].started == found.started


def growth_of_a_batch(found: Measurement) -> float:
    """Return by how many bytes resident memory grew with each batch, in the second half of the looks."""
    rows = found.tables["memory"].rows
    batches = found.facts["served"] / found.facts["batch_size"]
    return 2 * (rows[-1][1] - rows[len(rows) // 2][1]) / batches


def test_an_engine_that_leaks_is_seen_to_and_one_that_does_not_is_not():
    assert growth_of_a_batch(engines.watch(engines.leaking(256 << 10), 0.5)) > 128 << 10
    assert growth_of_a_batch(engines.watch(PagedEngine, 0.5)) < 64 << 10


def test_an_engine_that_thrashes_finds_little_of_what_it_could():
    def found(make):
        scalars = engines.watch(make, 0.5, prefixes=8).scalars
        return scalars["prefix.hits"].value / scalars["prefix.ideal"].value

    assert found(engines.thrashing) < 0.5
    assert found(PagedEngine) == 1


def on_a_card(lasting: int, cuda: Caching) -> CudaAllocator:
    allocator = CudaAllocator(None, lambda: 5e9, cuda)
    engines.on_a_graphics_card(allocator, cuda, lambda: lasting, 50)
    return allocator


def test_memory_that_is_torn_between_what_stays_is_seen_to_be():
    whole, torn = on_a_card(0, Caching()), on_a_card(1_200_000, Caching())
    assert whole.scalars()["fragmentation.worst"].value < 0.1
    assert torn.scalars()["fragmentation.worst"].value > 0.15
    assert whole.scalars()["allocator.hits"].value > 0.9
    assert whole.columns == ("allocated", "reserved", "nvml")
    assert torn.held()[0] > 200 * MIB
    assert torn.held()[2] == 5e9


def test_an_allocator_that_had_to_free_its_cache_or_gave_up_has_counted_it():
    cuda = Caching(limit=60 * MIB)
    allocator = CudaAllocator(None, lambda: None, cuda)
    block = cuda.allocate(30 * MIB)
    cuda.free(block)
    cuda.allocate(40 * MIB)
    with pytest.raises(MemoryError):
        cuda.allocate(40 * MIB)
    scalars = allocator.scalars()
    assert (scalars["allocator.retries"].value, scalars["allocator.ooms"].value) == (2, 1)
    assert allocator.columns == ("allocated", "reserved")


def test_expandable_segments_are_trimmed_and_what_is_left_over_counts():
    class Expandable(Caching):
        trims = 0

        def memory_snapshot(self):
            return [{"is_expandable": True}]

        def empty_cache(self):
            self.trims += 1
            super().empty_cache()

    cuda = Expandable()
    allocator = CudaAllocator(None, lambda: None, cuda)
    kept, lost = cuda.allocate(9 * MIB), cuda.allocate(9 * MIB)
    allocator.look(quiet=False)
    assert allocator.scalars()["fragmentation.worst"].value == 0
    cuda.free(lost)
    allocator.settle()
    allocator.look(quiet=True)
    assert cuda.trims == 1
    assert kept.size == 9 * MIB
    assert allocator.scalars()["fragmentation.worst"].value == pytest.approx(11 / 20)


def test_a_reading_that_fails_leaves_its_row_out():
    readings_of = iter([1.0, None])
    allocator = CudaAllocator(None, lambda: next(readings_of), Caching())
    assert allocator.held() is None
    assert HostAllocator().held() == ()
