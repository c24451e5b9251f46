"""Of several queries for one history the first is taken that has a value at present; no two are ever mixed."""

from __future__ import annotations

import time

import numpy as np
import pytest
from historybed import series as made
from historybed.series import DAY, Shape

from perfrun_kernels.forecast.history import read
from perfrun_kernels.forecast.parameters import Metric
from perfrun_kernels.prometheus import Server

QUERIES = ("sum(first)", "sum(second)", "sum(third)")


@pytest.fixture
def now() -> float:
    return time.time()


def metric(*queries: str) -> Metric:
    return Metric("it", "It", queries[0], "", 3600.0, queries[1:])


def constant(name: str, level: float, start: float, end: float) -> made.Series:
    times = made.grid(start, end, 60)
    return made.gauge({"__name__": name}, times, Shape(level, 0, 0, 0, 0), np.random.default_rng(1))


def test_the_first_that_has_a_value_is_taken_whole(prometheus, now):
    ended, whole = (
        constant("first", 1, now - DAY, now - DAY / 2),
        constant("second", 2, now - DAY / 2, now),
    )
    server = prometheus(ended, whole, constant("third", 3, now - DAY, now))
    found = read(Server(server.url, 10), metric(*QUERIES), DAY, now)
    assert "second" in found.query
    assert set(found.values[np.isfinite(found.values)]) == {2}


def test_without_any_the_first_is_the_one_that_is_lacking(prometheus, now):
    server = prometheus(constant("other", 1, now - DAY, now))
    with pytest.raises(Exception, match=r"sum\(first\).* gives no series"):
        read(Server(server.url, 10), metric(*QUERIES), DAY, now)
