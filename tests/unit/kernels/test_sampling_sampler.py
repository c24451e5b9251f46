import math
from collections.abc import Callable

import attrs
import numpy as np
import pytest
import torch
from goodness import distribution, fits
from hypothesis import given, settings
from hypothesis import strategies as st

from perfrun_kernels.sampling import reference, sampler
from perfrun_kernels.sampling.parameters import SamplingOptions

EDGE = 1e-5
"""Probabilities closer to a threshold than this may fall on either side by rounding."""

PLAIN = SamplingOptions(
    temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1.0, presence_penalty=0.0, seed=0
)
NAN, INF = math.nan, math.inf


Draw = Callable[[torch.Tensor, SamplingOptions, torch.Generator], torch.Tensor]


def support(logits: list[float], options: SamplingOptions) -> set[int]:
    """Return the tokens that the sampler can draw."""
    scores, ids = reference.candidates(reference.sanitise(torch.tensor([logits])), options)
    kept = reference.weights(scores, options)[0]
    places = torch.arange(len(logits)) if ids is None else ids[0]
    return {int(places[index]) for index in torch.nonzero(kept).flatten()}


def defined(logits: list[float], options: SamplingOptions) -> tuple[set[int], set[int]]:
    """Return what surely survives and what may, by the plain definitions and in double precision."""
    order = sorted(range(len(logits)), key=lambda token: -logits[token])
    if options.top_k:
        order = order[: options.top_k]
    heights = np.exp((np.array([logits[token] for token in order]) - logits[order[0]]) / options.temperature)
    probabilities = heights / heights.sum()
    sure, maybe, before = set(), set(), 0.0
    for token, probability in zip(order, probabilities, strict=True):
        ratio = probability / probabilities[0]
        surely_likely = ratio > options.min_p + EDGE or options.min_p == 0
        if surely_likely and (options.top_p == 1 or before < options.top_p - EDGE):
            sure.add(token)
        if (options.top_p == 1 or before < options.top_p + EDGE) and ratio > options.min_p - EDGE:
            maybe.add(token)
        before += float(probability)
    return sure, maybe


@settings(max_examples=300, deadline=None)
@given(
    logits=st.lists(st.integers(-40, 40), min_size=1, max_size=30, unique=True),
    temperature=st.sampled_from([0.3, 1.0, 2.5]),
    top_k=st.integers(0, 35),
    top_p=st.sampled_from([0.05, 0.5, 0.9, 1.0]),
    min_p=st.sampled_from([0.0, 0.02, 0.3]),
)
def test_the_support_is_that_of_the_definitions(
    logits: list[int], temperature: float, top_k: int, top_p: float, min_p: float
) -> None:
    options = attrs.evolve(PLAIN, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    scaled = [value / 5 for value in logits]
    sure, maybe = defined(scaled, options)
    found = support(scaled, options)
    assert sure <= found <= maybe
    assert max(range(len(scaled)), key=scaled.__getitem__) in found


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (PLAIN, {0, 1, 2, 3, 4}),
        (attrs.evolve(PLAIN, top_k=2), {1, 3}),
        (attrs.evolve(PLAIN, top_k=99), {0, 1, 2, 3, 4}),
        (attrs.evolve(PLAIN, top_p=0.79), {1, 3}),
        (attrs.evolve(PLAIN, top_p=0.81), {1, 3, 0}),
        (attrs.evolve(PLAIN, top_p=1e-9), {3}),
        (attrs.evolve(PLAIN, min_p=0.19), {1, 3, 0}),
        (attrs.evolve(PLAIN, min_p=0.21), {1, 3}),
        (attrs.evolve(PLAIN, top_k=4, min_p=0.15, top_p=0.9), {1, 3, 0}),
    ],
)
def test_supports_of_one_known_distribution(options: SamplingOptions, expected: set[int]) -> None:
    logits = [math.log(p) for p in (0.10, 0.30, 0.05, 0.50, 0.05)]
    assert support(logits, options) == expected


@pytest.mark.parametrize("draw", [reference.draw, sampler.draw])
@pytest.mark.parametrize("options", [
    PLAIN,
    attrs.evolve(PLAIN, temperature=0.7),
    attrs.evolve(PLAIN, top_k=6),
    attrs.evolve(PLAIN, top_p=0.8),
    attrs.evolve(PLAIN, top_p=0.3, temperature=2.0),
    attrs.evolve(PLAIN, min_p=0.2, temperature=1.5),
    attrs.evolve(PLAIN, top_p=0.9, min_p=0.1),
    attrs.evolve(PLAIN, top_k=8, top_p=0.9, min_p=0.05),
])  # fmt: skip
def test_draws_follow_the_distribution(options: SamplingOptions, draw: Draw) -> None:
    logits = torch.linspace(-2.0, 1.5, 12)[torch.randperm(12, generator=torch.Generator().manual_seed(3))]
    tokens = draw(logits.repeat(5000, 1), options, torch.Generator().manual_seed(11))
    kept = sorted(support(logits.tolist(), options))
    probabilities = np.zeros(12)
    probabilities[kept] = np.exp(logits.double().numpy()[kept] / options.temperature)
    assert set(tokens.tolist()) == set(kept)
    assert fits(tokens, probabilities / probabilities.sum())


@pytest.mark.parametrize("draw", [reference.draw, sampler.draw])
def test_a_wrong_distribution_would_be_noticed(draw: Draw) -> None:
    logits = torch.linspace(-2.0, 1.5, 12)
    tokens = draw(logits.repeat(5000, 1), PLAIN, torch.Generator().manual_seed(11))
    assert fits(tokens, distribution(logits, PLAIN))
    assert not fits(tokens, distribution(logits, attrs.evolve(PLAIN, temperature=1.3)))
    assert not fits(tokens, distribution(logits, attrs.evolve(PLAIN, top_k=11)))


@pytest.mark.parametrize("vocabulary", [255, 256, 257, 5000])
@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.2])
def test_blocks_of_a_large_vocabulary_are_drawn_as_one(vocabulary: int, top_p: float) -> None:
    options = attrs.evolve(PLAIN, top_p=top_p)
    logits = torch.randn(vocabulary, generator=torch.Generator().manual_seed(vocabulary))
    tokens = sampler.draw(logits.repeat(1000, 1), options, torch.Generator().manual_seed(7))
    assert fits(tokens, distribution(logits, options))


def test_of_equally_likely_tokens_top_p_keeps_the_first() -> None:
    options = attrs.evolve(PLAIN, top_p=0.5)
    logits = torch.zeros(400, 5)
    for draw in (reference.draw, sampler.draw):
        assert set(draw(logits, options, torch.Generator().manual_seed(2)).tolist()) == {0, 1, 2}


def test_broken_rows_are_drawn_as_defined_without_a_sort() -> None:
    rows = torch.tensor([[NAN, -INF, 0.5, NAN], [INF, 1.0, INF, NAN], [-INF] * 4, [NAN] * 4])
    for options in (PLAIN, attrs.evolve(PLAIN, top_p=0.999), attrs.evolve(PLAIN, min_p=0.5)):
        generator = torch.Generator().manual_seed(4)
        drawn = torch.stack([sampler.draw(rows, options, generator) for _ in range(100)])
        assert [set(drawn[:, row].tolist()) for row in range(4)] == [{2}, {0, 2}, {0, 1, 2, 3}, {0, 1, 2, 3}]


def test_the_penalties_make_tokens_less_likely_whatever_their_sign() -> None:
    logits = torch.tensor([[2.0, 2.0, -2.0, -2.0, 0.0]])
    seen, drawn = torch.tensor([[0, 2, 4, 2]]), torch.tensor([[2, 2]])
    options = attrs.evolve(PLAIN, repetition_penalty=2.0)
    assert reference.penalise(logits, seen, drawn, options).tolist() == [[1.0, 2.0, -4.0, -2.0, 0.0]]
    both = attrs.evolve(options, presence_penalty=0.5)
    assert reference.penalise(logits, seen, drawn, both).tolist() == [[1.0, 2.0, -4.5, -2.0, 0.0]]


def test_the_drawer_counts_prompt_and_drawn_tokens_as_seen() -> None:
    options = attrs.evolve(PLAIN, temperature=0.0, repetition_penalty=2.0)
    drawer = sampler.drawer(options, torch.tensor([[0]]), vocabulary=4, seed=0)
    logits = torch.tensor([[3.0, 2.9, 2.8, 0.1]])
    assert [int(drawer.next(logits)) for _ in range(4)] == [1, 2, 0, 0]


def test_the_presence_penalty_counts_drawn_tokens_but_not_the_prompt() -> None:
    options = attrs.evolve(PLAIN, temperature=0.0, presence_penalty=0.25)
    drawer = sampler.drawer(options, torch.tensor([[0]]), vocabulary=4, seed=0)
    logits = torch.tensor([[3.0, 2.9, 2.8, 0.1]])
    assert [int(drawer.next(logits)) for _ in range(4)] == [0, 1, 2, 0]


def test_both_penalties_come_in_their_order() -> None:
    options = attrs.evolve(PLAIN, temperature=0.0, repetition_penalty=2.0, presence_penalty=-1.5)
    drawer = sampler.drawer(options, torch.tensor([[2]]), vocabulary=3, seed=0)
    logits = torch.tensor([[4.0, 3.0, 4.9]])
    assert [int(drawer.next(logits)) for _ in range(2)] == [0, 0]


def test_without_a_penalty_nothing_is_remembered() -> None:
    drawer = sampler.drawer(attrs.evolve(PLAIN, temperature=0.0), torch.tensor([[0]]), vocabulary=2, seed=0)
    assert [int(drawer.next(torch.tensor([[2.0, 1.0]]))) for _ in range(3)] == [0, 0, 0]


def test_the_same_seed_repeats_and_another_differs() -> None:
    logits = torch.zeros(64, 50)
    first, again, other = (sampler.draw(logits, PLAIN, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_greedy_takes_the_first_of_the_largest() -> None:
    options = attrs.evolve(PLAIN, temperature=0.0, top_k=1)
    logits = torch.tensor([[1.0, 5.0, 5.0], [NAN, -INF, -3.0], [NAN, NAN, NAN]])
    assert sampler.draw(logits, options, torch.Generator()).tolist() == [1, 2, 0]


@pytest.mark.parametrize("options", [PLAIN, attrs.evolve(PLAIN, top_k=3), attrs.evolve(PLAIN, top_p=0.9, min_p=0.1)])
def test_nan_and_minus_infinity_are_never_drawn_beside_a_number(options: SamplingOptions) -> None:
    assert support([NAN, -INF, 0.5, -INF, NAN], options) == {2}


def test_plus_infinity_wins_and_is_shared() -> None:
    assert support([INF, 1.0, INF, NAN], PLAIN) == {0, 2}


@pytest.mark.parametrize(("top_k", "size"), [(0, 5), (3, 3)])
def test_a_row_without_a_number_is_drawn_uniformly_from_its_candidates(top_k: int, size: int) -> None:
    options = attrs.evolve(PLAIN, top_k=top_k, top_p=0.9999, min_p=0.5)
    for value in (-INF, NAN):
        assert len(support([value] * 5, options)) == size


def test_ties_at_the_edge_of_top_k_keep_exactly_k() -> None:
    options = attrs.evolve(PLAIN, top_k=3)
    logits = [1.0, 2.0, 1.0, 1.0, 1.0]
    found = support(logits, options)
    assert (len(found), 1 in found) == (3, True)
    assert found == support(logits, options)


def test_half_precision_is_drawn_in_single_precision() -> None:
    logits = torch.zeros(1, 4096, dtype=torch.bfloat16)
    scores, _ = reference.candidates(reference.sanitise(logits), PLAIN)
    assert reference.weights(scores, PLAIN).dtype == torch.float32


def test_neighbouring_rows_do_not_touch_each_other() -> None:
    options = attrs.evolve(PLAIN, top_k=2, min_p=0.01)
    logits = torch.tensor([[9.0, 0.0, 0.0, 0.0], [-INF] * 4, [0.0, 0.0, 0.0, 9.0]])
    for seed in range(20):
        tokens = sampler.draw(logits, options, torch.Generator().manual_seed(seed))
        assert (int(tokens[0]), int(tokens[2])) == (0, 3)
