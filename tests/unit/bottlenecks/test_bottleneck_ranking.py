"""Which resource saturates first, where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from saturating import daily, observed, remembering, resource, used

from perfrun_kernels.bottlenecks.ranking import ranked
from perfrun_kernels.bottlenecks.values import Missing


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_resources_come_in_the_order_in_which_they_fill_up(rng):
    x = daily(rng)
    found = ranked(
        observed(
            x, resource("disk", used(x, 9000, rng)), resource("CPU", used(x, 1500, rng)),
            resource("memory", 0.6 + 0.01 * remembering(x.size, rng)), resource("network", used(x, 2500, rng)),
        ),
        0.99,
    )  # fmt: skip
    assert [each.name for each in found] == ["CPU", "network", "disk", "memory"]
    assert [each.standing for each in found] == ["growing", "growing", "growing", "steady"]
    assert [each.full_at.value for each in found[:3]] == pytest.approx([1500, 2500, 9000], rel=0.1)
    assert found[0].first == 1
    assert found[3].missing.reason == "NoGrowth"


def test_intervals_hold_the_truth_as_often_as_they_say():
    held = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = daily(rng, days=3)
        [found] = ranked(observed(x, resource("CPU", used(x, 1800, rng, noise=0.03))), 0.9)
        held += found.full_at.lower <= 1800 <= found.full_at.upper
    # 54 are expected; of three days blocks are few, and intervals a little short.
    assert 46 <= held < 60


def test_the_instance_that_is_full_first_stands_for_its_resource(rng):
    x = daily(rng)
    [found] = ranked(observed(x, resource("CPU", *(used(x, at, rng) for at in (4000, 1300, 2000)))), 0.99)
    assert found.instance == "node-2"
    assert found.full_at.lower < 1300 < found.full_at.upper


def test_two_that_are_alike_share_the_first_place(rng):
    x = daily(rng)
    found = ranked(observed(x, *(resource(name, used(x, 2000, rng, noise=0.03)) for name in ("CPU", "network"))), 0.99)
    assert all(0 < each.first < 1 for each in found)
    assert sum(each.first for each in found) == pytest.approx(1)


def test_what_is_full_now_comes_before_what_will_be(rng):
    x = daily(rng)
    full = np.minimum(0.4 + x / 1000, 1.0)
    found = ranked(observed(x, resource("CPU", used(x, 1100, rng)), resource("disk", full)), 0.99)
    assert [(each.name, each.standing) for each in found] == [("disk", "saturated"), ("CPU", "growing")]


@pytest.mark.parametrize(
    ("waiting", "standing"),
    [
        (lambda x: np.where(x > 700, x - 700, 0.0), "saturated"),
        (lambda x: np.full_like(x, 0.02), "growing"),
        (np.zeros_like, "growing"),
        (lambda x: np.full_like(x, np.nan), "growing"),
    ],
    ids=["begins", "always", "never", "unknown"],
)
def test_work_that_begins_to_wait_as_throughput_grows_is_saturation(rng, waiting, standing):
    x = daily(rng)
    [found] = ranked(observed(x, resource("network", used(x, 3000, rng), waiting=waiting(x))), 0.99)
    assert found.standing == standing


def test_waiting_and_errors_are_told(rng):
    x = daily(rng)
    told = resource("disk", used(x, 3000, rng), waiting=np.full(x.size, 0.25), errors=np.full(x.size, 2.0))
    [found] = ranked(observed(x, told), 0.99)
    assert (found.waits, found.waiting, found.errors) == (1, 0.25, 2)


def test_use_that_grows_faster_and_faster_is_said_to(rng):
    x = daily(rng)
    straight, bent = used(x, 1500, rng), 0.1 + 0.6 * (x / 1000) ** 4
    found = {each.name: each for each in ranked(observed(x, resource("a", straight), resource("b", bent)), 0.99)}
    assert not found["a"].bent
    assert found["b"].bent


def test_gaps_change_nothing_but_how_sure_it_is(rng):
    x = daily(rng)
    use = used(x, 1500, rng)
    x[100:400], use[300:900] = np.nan, np.nan
    [found] = ranked(observed(x, resource("CPU", use)), 0.99)
    assert found.full_at.value == pytest.approx(1500, rel=0.05)


def steady_load(rng):
    return 500 + 5 * rng.standard_normal(2016)


@pytest.mark.parametrize(
    ("throughput", "reason"),
    [
        (steady_load, "LoadTooEven"),
        (lambda _: np.zeros(2016), "LoadTooEven"),
        (lambda _: np.concatenate([np.arange(29.0), np.full(1987, np.nan)]), "TooFewPoints"),
        (lambda _: Missing("NoSuchMetric", "there is none"), "NoSuchMetric"),
    ],
)
def test_without_varying_throughput_use_alone_ranks(rng, throughput, reason):
    low, high = 0.3 + 0.01 * rng.standard_normal(2016), 0.8 + 0.01 * rng.standard_normal(2016)
    found = ranked(observed(throughput(rng), resource("low", low), resource("high", high)), 0.99)
    assert [each.name for each in found] == ["high", "low"]
    assert {each.missing.reason for each in found} == {reason}
    assert all(each.full_at is None and each.standing == "steady" for each in found)


def test_use_that_was_seldom_seen_with_throughput_has_no_line(rng):
    x = daily(rng)
    use = np.full(x.size, np.nan)
    use[:20] = 0.5
    [found] = ranked(observed(x, resource("CPU", use)), 0.99)
    assert found.missing.reason == "TooFewPoints"
    assert found.full_at is None


def test_a_resource_without_data_comes_last(rng):
    x = daily(rng)
    gone = resource("GPU", missing=Missing("NoSuchMetric", "there is none"))
    found = ranked(observed(x, gone, resource("CPU", used(x, 1500, rng))), 0.99)
    assert [(each.name, each.standing) for each in found] == [("CPU", "growing"), ("GPU", "unknown")]


def test_noise_is_not_taken_for_growth():
    taken = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        [found] = ranked(
            observed(daily(rng, days=3), resource("memory", 0.5 + 0.05 * remembering(864, rng, 0.95))), 0.99
        )
        taken += found.standing == "growing"
    assert taken <= 3
