"""The choice of nodes: repeatable, by seed, among all that rules leave."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from perfrun.lifecycle.choosing import choose, seed_of

NAMES = [f"node-{i}" for i in range(10)]


@given(st.permutations(NAMES), st.integers(0, 10), st.integers(0, 2**31))
def test_the_choice_depends_on_seed_and_names_alone(names, count, seed):
    chosen = choose(names, count, seed)
    assert chosen == choose(NAMES, count, seed)
    assert len(set(chosen)) == count
    assert set(chosen) <= set(NAMES)


@given(st.integers(0, 2**31), st.integers(1, 9))
def test_more_failures_add_nodes_to_the_same_ones(seed, count):
    assert set(choose(NAMES, count, seed)) < set(choose(NAMES, count + 1, seed))


def test_every_node_is_chosen_about_as_often():
    counts = Counter(choose(NAMES, 1, seed)[0] for seed in range(2000))
    assert set(counts) == set(NAMES)
    assert all(140 < each < 260 for each in counts.values())


def test_runs_and_faults_have_seeds_of_their_own():
    seeds = {seed_of(uid, fault) for uid in ("a", "b", "ab") for fault in ("s1-fault", "s2-fault", "bs1-fault")}
    assert len(seeds) == 9
    assert all(0 <= each < 2**32 for each in seeds)
    assert seed_of("a", "s1-fault") == seed_of("a", "s1-fault")
