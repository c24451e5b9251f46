"""Windows of the past, and that nothing in them looks ahead."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.forecast import backtest, scoring
from perfrun_kernels.forecast.averages import average, levelled, naive
from perfrun_kernels.forecast.backtest import BEFORE, Setting
from perfrun_kernels.forecast.foreseeing import foresee, mapping, setting_of
from perfrun_kernels.forecast.history import History
from perfrun_kernels.forecast.models import MODELS
from perfrun_kernels.forecast.parameters import Metric, Wanted

DAY, WEEK = 24, 168
SIMPLE = {"average": average, "levelled": levelled}
METRIC = Metric("k", "K", "q", "1/s", 86_400.0)


def values_of(days, seed=1, noise=0.05):
    rng = np.random.default_rng(seed)
    steps = np.arange(days * DAY)
    course = 100 * (1 + 0.4 * np.sin(2 * np.pi * steps / DAY)) * np.where(steps % WEEK >= 5 * DAY, 0.7, 1.0)
    return course * np.exp(rng.normal(0, noise, steps.size))


def setting(values, models=None, ahead=DAY):
    return Setting(values, ahead, (DAY, WEEK), models or SIMPLE)


def wanted(windows=20):
    return Wanted("http://p", 1.0, (METRIC,), 35 * 86_400.0, windows, 0.99, "", None)


def history(values):
    return History("q", 3600.0, 1.7e9 + 3600.0 * np.arange(values.size), values, 0)


def test_windows_do_not_overlap_where_the_history_is_long_enough():
    places, stride = backtest.origins(setting(values_of(35)), 20)
    assert stride == DAY
    assert len(places) == 20 + BEFORE
    assert places[-1] == 34 * DAY
    assert set(np.diff(places)) == {DAY}


def test_windows_overlap_in_a_shorter_history_and_are_too_few_in_a_short_one():
    at_least = setting(values_of(35)).needed(20)
    places, stride = backtest.origins(setting(values_of(35)[:at_least]), 20)
    assert (len(places), stride) == (20 + BEFORE, 3)
    places, _ = backtest.origins(setting(values_of(35)[: at_least - 1]), 20)
    assert len(places) < 20 + BEFORE


def test_a_window_without_half_of_its_values_is_left_out():
    values = values_of(35)
    values[33 * DAY : 33 * DAY + 20] = np.nan
    places, _ = backtest.origins(setting(values), 20)
    assert 33 * DAY not in places
    assert len(places) == 20 + BEFORE


@pytest.mark.parametrize("name", sorted(MODELS))
def test_no_model_sees_what_comes_after(name):
    values = values_of(16)
    changed = values.copy()
    changed[15 * DAY :] = np.random.default_rng(9).uniform(1, 1e4, DAY)
    said = [backtest.foretell(setting(each, {name: MODELS[name]}), 15 * DAY) for each in (values, changed)]
    assert np.array_equal(said[0].models[name], said[1].models[name])
    assert said[0].models[name].shape == (DAY,)


@pytest.mark.parametrize("ahead", [DAY, 2 * DAY])
def test_nothing_foretold_by_a_moment_depends_on_what_came_after(ahead):
    """Models, their choice, intervals and yardstick: everything of windows that had begun is the same."""
    values = values_of(20)
    changed, moment = values.copy(), 17 * DAY + 7
    changed[moment:] *= np.random.default_rng(2).uniform(0, 9, values.size - moment)
    places = list(range(8 * DAY, 18 * DAY, 5))
    one, other = (
        scoring.replay(setting(each, ahead=ahead), backtest.run(setting(each, ahead=ahead), places, map))
        for each in (values, changed)
    )
    begun = [index for index, place in enumerate(places) if place <= moment]
    assert len(begun) < len(places)
    for index in begun:
        assert one[index].models == other[index].models
        assert one[index].season == other[index].season
        for name in ("mean", "naive"):
            assert np.array_equal(getattr(one[index], name), getattr(other[index], name))
        assert np.array_equal(one[index].interval.upper, other[index].interval.upper)
    assert not np.array_equal(one[-1].mean, other[-1].mean)


def test_what_peeks_is_seen():
    """The same comparison of a model that looks into the values that it is to foretell."""
    values = values_of(16)
    changed = values.copy()
    changed[15 * DAY :] *= 5

    def peeking(known):
        return {"peeks": lambda past, steps: known[past.raw.size : past.raw.size + steps]}

    said = [backtest.foretell(setting(each, peeking(each)), 15 * DAY) for each in (values, changed)]
    assert not np.array_equal(said[0].models["peeks"], said[1].models["peeks"])


def test_too_little_history_says_how_much_there_is_and_how_much_is_needed():
    found = history(values_of(3))
    with pytest.raises(UnmeasurableError, match=r"need 6 d of history, and there are 3 d") as raised:
        foresee(found, setting_of(found, METRIC), wanted(), map)
    assert raised.value.reason == "TooLittleHistory"
    assert raised.value.facts == {"history": 3 * 86_400.0, "needed": 6 * 86_400.0}


def test_a_constant_is_foretold_exactly_and_without_skill():
    found = history(np.full(20 * DAY, 7.0))
    seen = foresee(found, setting_of(found, METRIC), wanted(10), map)
    assert seen.constant
    assert (seen.score.wape.value, seen.score.naive, seen.score.ratio) == (0, 0, None)
    assert seen.forecast.mean.tolist() == [7.0] * DAY


def test_nothing_but_zeros_in_the_windows_is_no_error_of_nothing():
    values = np.concatenate([values_of(4), np.zeros(8 * DAY)])
    found = history(values)
    with pytest.raises(UnmeasurableError) as raised:
        foresee(found, attrs.evolve(setting_of(found, METRIC), models=SIMPLE), wanted(5), map)
    assert raised.value.reason == "AllZero"


def test_several_processes_say_what_one_says():
    setting_ = setting(values_of(12))
    places = [9 * DAY, 10 * DAY, 11 * DAY]
    with mapping(2) as mapper:
        shared = backtest.run(setting_, places, mapper)
    alone = backtest.run(setting_, places, map)
    for one, other in zip(shared, alone, strict=True):
        assert all(np.array_equal(one.models[name], other.models[name]) for name in SIMPLE)


def test_seasonal_naive_is_the_last_season_again():
    assert naive(np.arange(10.0), 4, 6).tolist() == [6, 7, 8, 9, 6, 7]


def test_models_beat_seasonal_naive_on_a_course_with_noise():
    """Naive repeats the noise of one day or week; what averages does not."""
    found = history(values_of(35, noise=0.1))
    seen = foresee(found, setting_of(found, METRIC), wanted(8), map)
    assert seen.score.wape.value < 0.11
    assert seen.score.ratio is not None
    assert seen.score.ratio.value < 0.9
    assert abs(seen.forecast.mean / values_of(36, noise=0)[-DAY:] - 1).mean() < 0.06
