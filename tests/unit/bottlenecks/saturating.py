"""Loads with known truth: throughput of days and weeks, and resources that it uses."""

from __future__ import annotations

import numpy as np

from perfrun_kernels.bottlenecks.values import Curve, Observed, Readings

STEP = 300.0
DAY = 86_400.0


def moments(days=7):
    return np.arange(int(days * DAY / STEP)) * STEP


def remembering(size, rng, correlation=0.9):
    """Return noise of standard deviation 1 whose neighbours are alike."""
    noise = rng.standard_normal(size) * np.sqrt(1 - correlation**2)
    values = np.zeros(size)
    for index in range(1, size):
        values[index] = correlation * values[index - 1] + noise[index]
    return values


def daily(rng, low=100.0, high=1000.0, days=7):
    """Return throughput that rises and falls with the day."""
    at = moments(days)
    wave = 0.5 - 0.5 * np.cos(2 * np.pi * at / DAY)
    return (low + (high - low) * wave) * np.exp(0.05 * remembering(at.size, rng))


def used(throughput, full_at, rng, idle=0.05, noise=0.01):
    """Return use that is 1 at a throughput of ``full_at``."""
    return idle + (1 - idle) / full_at * throughput + noise * remembering(throughput.size, rng)


def resource(name, *use, waiting=None, errors=None, **given):
    curves = tuple(Curve(f"node-{number}", each) for number, each in enumerate(use, start=1))
    waits = {each.instance: waiting for each in curves} if waiting is not None else {}
    fails = {each.instance: errors for each in curves} if errors is not None else {}
    return Readings(name, curves, waits, fails, **given)


def observed(throughput, *resources, concurrency=None):
    at = moments() if not isinstance(throughput, np.ndarray) else np.arange(throughput.size) * STEP
    return Observed(at, throughput, throughput if concurrency is None else concurrency, resources)
