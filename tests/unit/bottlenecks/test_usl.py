"""The Universal Scalability Law, fitted to loads that follow it, and refused where load does not show it."""

from __future__ import annotations

import numpy as np
import pytest
from saturating import moments, remembering

from perfrun_kernels.bottlenecks import usl
from perfrun_kernels.bottlenecks.values import Law, Missing

DAYS = 2


def load(lambda_, sigma, kappa, seed, high=60.0, low=1.0, noise=0.04):
    """Return concurrency and throughput of days that follow the law."""
    rng = np.random.default_rng(seed)
    at = moments(DAYS)
    n = low + (high - low) * (0.5 - 0.5 * np.cos(4 * np.pi * at / 86_400)) * np.exp(0.05 * remembering(at.size, rng))
    n = np.clip(n, low, None)
    exact = lambda_ * n / (1 + sigma * np.maximum(n - 1, 0) + kappa * n * np.maximum(n - 1, 0))
    return n, exact * np.exp(noise * remembering(at.size, rng, 0.7))


@pytest.mark.parametrize(("lambda_", "sigma", "kappa"), [(100, 0.05, 0.001), (40, 0.1, 0.002), (2000, 0.3, 0.0008)])
def test_the_law_is_found_again(lambda_, sigma, kappa):
    law = usl.fit(*load(lambda_, sigma, kappa, seed=3), 0.99)
    for found, truth in ((law.lambda_, lambda_), (law.sigma, sigma), (law.kappa, kappa)):
        assert found.value == pytest.approx(truth, rel=0.25)
    assert law.peak.value == pytest.approx(peak_of(lambda_, sigma, kappa), rel=0.1)
    assert law.error == pytest.approx(0.04, rel=0.3)


def peak_of(lambda_, sigma, kappa):
    at = np.sqrt((1 - sigma) / kappa)
    return lambda_ * at / (1 + sigma * (at - 1) + kappa * at * (at - 1))


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    truth = (100, 0.05, 0.001)
    held = np.zeros(4)
    for seed in range(40):
        law = usl.fit(*load(*truth, seed), 0.9)
        told = (law.lambda_, law.sigma, law.kappa, law.peak)
        held += [each.lower <= true <= each.upper for each, true in zip(told, (*truth, peak_of(*truth)), strict=True)]
    # 36 are expected of a long history; of two days blocks are few, and intervals a little short.
    assert np.all(held >= 28)


@pytest.mark.parametrize(("sigma", "kappa"), [(0.0, 0.0), (0.02, 0.0), (0.02, 1e-6)])
def test_no_peak_is_claimed_where_none_is_in_sight(sigma, kappa):
    for seed in range(5):
        law = usl.fit(*load(100, sigma, kappa, seed), 0.99)
        assert law.peak is None
        assert law.at is None
        assert law.sigma.value == pytest.approx(sigma, abs=0.01)


def test_the_curve_is_the_law():
    law = usl.fit(*load(100, 0.05, 0.001, seed=1), 0.99)
    at = np.array([law.at.value * 0.99, law.at.value, law.at.value * 1.01])
    low, top, beyond = usl.throughput_at(law, at)
    assert top == pytest.approx(law.peak.value)
    assert low < top > beyond
    assert usl.throughput_at(law, np.array([1.0]))[0] == pytest.approx(law.lambda_.value)


def test_gaps_and_idle_moments_are_left_out():
    n, x = load(100, 0.05, 0.001, seed=1)
    whole = usl.fit(n, x, 0.99)
    n[50:90], x[200:230], x[300:310] = np.nan, np.nan, 0
    found = usl.fit(n, x, 0.99)
    assert isinstance(found, Law)
    assert found.peak.value == pytest.approx(whole.peak.value, rel=0.05)


few = np.full(576, np.nan)
few[:20] = 5.0
NONE = Missing("NoSuchMetric", "there is none")


@pytest.mark.parametrize(
    ("n", "x", "reason"),
    [
        (few, few, "TooFewPoints"),
        (np.linspace(0.1, 1.5, 576), np.linspace(10, 150, 576), "TooLittleConcurrency"),
        (np.linspace(50, 80, 576), np.linspace(50, 80, 576), "LoadTooEven"),
        (NONE, few, "NoSuchMetric"),
        (few, NONE, "NoSuchMetric"),
    ],
)
def test_load_that_does_not_show_the_law_is_refused_in_words(n, x, reason):
    found = usl.fit(n, x, 0.99)
    assert isinstance(found, Missing)
    assert found.reason == reason
    assert found.sentence


def test_the_same_history_gives_the_same_law():
    assert usl.fit(*load(40, 0.1, 0.002, 5), 0.99) == usl.fit(*load(40, 0.1, 0.002, 5), 0.99)
