"""That public series come as histories of our own time, hole for hole."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from historybed import public
from historybed.series import HOUR, WEEK

END = 1_795_600_800.0


def hours(count, missing=()):
    index = pd.date_range("2014-12-31", periods=count, freq="h")
    return pd.Series(np.arange(count, dtype=float), index=index).drop(index[list(missing)])


def values(series):
    return series.values  # noqa: PD011 -- of ours, not of pandas


def test_a_source_ends_in_the_hour_before_now_and_is_as_long_as_asked():
    [*_, last] = found = public._moved("x", hours(400), END, 2, 0).times
    assert END - HOUR <= last <= END
    assert last - found[0] == pytest.approx(2 * WEEK - 300)


def test_each_hour_has_its_value_and_an_hour_without_one_has_no_samples():
    found = public._moved("x", hours(400, missing=[390]), END, 1, 0)
    assert values(found)[-12:].tolist() == [399.0] * 12
    assert np.diff(found.times).max() == pytest.approx(HOUR + 300)
    assert 390.0 not in values(found)


def test_an_earlier_stretch_ends_before_the_later_one():
    early = public._moved("x", hours(1000), END, 1, 2)
    assert values(early).max() == 999 - 2 * 168
    assert END - HOUR <= early.times[-1] <= END


@pytest.mark.full
def test_every_public_series_can_be_had_and_is_a_real_one():
    found = public.load(time.time(), 8)
    assert {each.labels["source"] for each in found} == set(public.SOURCES)
    for each in found:
        assert values(each).size > 0.95 * 8 * 168 * 12
        assert np.isfinite(values(each)).all()
        assert np.unique(values(each)).size > 50
