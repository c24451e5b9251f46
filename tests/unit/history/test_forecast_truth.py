"""The forecast program against a real Prometheus whose history, and whose future, is known."""

from __future__ import annotations

import time
from contextlib import nullcontext

import attrs
import numpy as np
import pytest
from historybed import series as made
from historybed.series import DAY, HOUR, Series, Shape
from historybed.server import serving

from perfrun_kernels import runner
from perfrun_kernels.contract import Request
from perfrun_kernels.forecast import main
from perfrun_kernels.forecast.foreseeing import setting_of

DAYS = 16
"""Level shifts can be told from weekends only where there are two of these."""

HORIZON = 12 * HOUR
"""Half-hourly steps: models see fewer of them than in an hour of 5 minutes, which the long tests foretell."""

MINUTE = 60.0
RESTLESS = Shape(100.0, daily=0.3, weekly=0.1, noise=0.1, memory=0.9995)
"""Yesterday's deviation says nothing of today's, the last hour's does: whoever looks beats seasonal naive."""

HOPELESS = Shape(100.0, daily=0.3, weekly=0.1, noise=0.8, memory=0.0)


def metric(key, query=None, horizon=HORIZON, unit="1/s"):
    query = query or f'avg_over_time(history{{kind="{key}"}}[$window])'
    return {"key": key, "name": key, "query": query, "unit": unit, "horizon_s": horizon}


def asked(url, *metrics, windows=20, days=DAYS):
    return {
        "prometheus": {"url": url, "timeout_s": 30.0}, "metrics": list(metrics), "lookback_s": days * DAY,
        "windows": windows, "confidence": 0.99, "deployments": "", "resources": {},
        "throughput": "", "latency": "", "concurrency": "",
    }  # fmt: skip


def foretold(url, *metrics, **changed):
    request = Request("run", "forecast", 1, "forecast", asked(url, *metrics, **changed), 600.0)
    result = runner.run(request, runner.Order())
    assert result.outcome == "Completed", (result.reason, result.message)
    return result


def told(result, key):
    """Return the scalars of one metric by what follows its key."""
    return {name.removeprefix(f"{key}."): each for name, each in result.scalars.items() if name.startswith(f"{key}.")}


def rows(result, name):
    table = result.tables[name]
    return {column: np.array(values) for column, values in zip(table.columns, np.array(table.rows).T, strict=True)}


def kind(name, times, values):
    return Series({"__name__": "history", "kind": name}, times, np.broadcast_to(values, times.shape).astype(float))


def history(end, rng):
    """Everything that a history can be, as series of one metric."""
    times = made.grid(end - DAYS * DAY, end, MINUTE)
    restless, hopeless = (made.follow(each, times, rng) for each in (RESTLESS, HOPELESS))
    daily = 100 + 30 * np.sin(2 * np.pi * times / DAY)
    good = kind("good", times, restless)
    return [
        good,
        kind("hopeless", times, hopeless),
        kind("repeated", times, daily),
        kind("constant", times, 5.0),
        kind("zeros", times, 0.0),
        kind("negative", times, -restless),
        kind("nan", times, np.nan),
        made.between(kind("few", times, restless), end - 95 * MINUTE, end),
        made.between(kind("young", times, restless), end - 5 * HOUR, end),
        kind("two", times, restless).named(pod="a"),
        kind("two", times, restless).named(pod="b"),
        kind("future", times + (DAYS + 1) * DAY, restless),
        made.between(kind("ended", times, restless), 0, end - 2 * DAY),
        _wounded(kind("wounded", times, restless), end),
    ]


def _wounded(series, end):
    """Put a gap, an outlier and a deployment into it."""
    series = made.without(series, end - 5 * DAY, end - 5 * DAY + 3 * HOUR)
    series = made.scaled(series, end - 4 * DAY, end - 4 * DAY + 10 * MINUTE, 30.0)
    return made.scaled(series, end - 6 * DAY, np.inf, 3.0)


@pytest.fixture(scope="module")
def server():
    end = np.floor(time.time() / MINUTE) * MINUTE
    with serving(history(end, np.random.default_rng(5)), retention="60d") as running:
        yield running


NO_VALUE = {
    "constant": {"ConstantSeries"},
    "zeros": {"AllZero", "ConstantSeries"},
    "nan": {"NotANumber", "EmptySeries"},
    "few": {"TooLittleHistory"},
    "young": {"TooLittleHistory"},
    "two": {"TooManySeries"},
    "future": {"FutureHistory", "EmptySeries", "NoSuchMetric"},
    "none": {"NoSuchMetric", "EmptySeries"},
    "negative": {"NegativeRate"},
}
"""What has no prediction error that a claim can be made of, and the reasons that say so."""


@pytest.fixture(scope="module")
def poor(server):
    """What the program says of histories that nobody can judge a forecast by."""
    return foretold(server.url, *(metric(key) for key in NO_VALUE), windows=20)


@pytest.fixture(scope="module")
def sound(server):
    return foretold(server.url, *(metric(key) for key in ("good", "wounded", "none")), windows=8)


@pytest.fixture(scope="module")
def thorough(server):
    return foretold(server.url, *(metric(key, horizon=HOUR) for key in ("good", "hopeless", "repeated")), windows=20)


@pytest.mark.parametrize("key", [key for key in NO_VALUE if key != "constant"])
def test_a_history_that_cannot_be_judged_is_never_a_pass(poor, key):
    assert told(poor, key)["wape"].value is None, poor.facts.get(f"{key}.reason")
    assert told(poor, key)["wape"].reason
    assert poor.facts[f"{key}.reason"] in NO_VALUE[key]
    assert poor.facts[f"{key}.why"]


def test_a_constant_is_foretold_without_skill(poor):
    """Either there is no value, or an error of 0 that is no better than naive's."""
    found = told(poor, "constant")
    if found["wape"].value is None:
        assert poor.facts["constant.reason"] == "ConstantSeries"
    else:
        assert found["ratio"].value is None or found["ratio.upper"].value >= 1


def test_too_little_history_says_how_much_is_needed(poor):
    found = told(poor, "young")
    assert found["history"].value == pytest.approx(5 * HOUR, rel=0.1)
    assert found["needed"].value > found["history"].value


def test_what_can_be_foretold_has_its_error_in_an_interval(sound):
    found = told(sound, "good")
    assert found["wape.lower"].value <= found["wape"].value <= found["wape.upper"].value
    assert found["wape"].value < 10
    assert found["ratio"].value < 1
    assert found["windows"].value == 8


def test_one_history_that_cannot_be_read_leaves_the_others(sound):
    assert told(sound, "none")["wape"].value is None
    assert sound.facts["none.reason"] == "NoSuchMetric"


@pytest.mark.full
def test_what_can_be_foretold_is_surely_within_ten_percent_and_better_than_seasonal_naive(thorough):
    found = told(thorough, "good")
    assert found["wape.upper"].value < 10
    assert found["ratio.upper"].value < 1


@pytest.mark.full
def test_what_is_mostly_noise_is_surely_not_within_ten_percent(thorough):
    assert told(thorough, "hopeless")["wape.lower"].value > 10


@pytest.mark.full
def test_what_repeats_itself_exactly_leaves_nothing_to_be_better_at(thorough):
    found = told(thorough, "repeated")
    assert found["wape"].value < 1
    assert found["ratio"].value is None or found["ratio.upper"].value is None or found["ratio.upper"].value >= 1


def test_gaps_outliers_and_deployments_are_reported(sound):
    repaired = str(sound.facts["wounded.repaired"])
    for word in ("gap", "outlier", "shift"):
        assert word in repaired.lower(), repaired
    assert told(sound, "wounded")["wape"].value is not None


def test_intervals_cover_about_what_they_state(sound):
    found = told(sound, "good")
    assert found["coverage"].value == pytest.approx(found["nominal"].value, abs=12)


def test_the_forecast_is_of_the_time_to_come(sound):
    ahead = rows(sound, "good.forecast")
    assert (np.diff(ahead["at"]) > 0).all()
    assert ahead["at"][-1] - time.time() == pytest.approx(HORIZON, abs=HOUR)
    assert (ahead["lower"] <= ahead["mean"]).all()
    assert (ahead["mean"] <= ahead["upper"]).all()


def test_the_error_that_is_reported_is_that_of_the_windows_that_are_shown(sound):
    shown, found = rows(sound, "good.backtest"), told(sound, "good")
    missed = 100 * np.abs(shown["actual"] - shown["mean"]).sum() / np.abs(shown["actual"]).sum()
    naive = 100 * np.abs(shown["actual"] - shown["naive"]).sum() / np.abs(shown["actual"]).sum()
    assert found["wape"].value == pytest.approx(missed, rel=0.02)
    assert found["naive"].value == pytest.approx(naive, rel=0.02)
    assert found["ratio"].value == pytest.approx(missed / naive, rel=0.02)
    inside = (shown["actual"] >= shown["lower"]) & (shown["actual"] <= shown["upper"])
    assert found["coverage"].value == pytest.approx(100 * inside.mean(), abs=2)


def test_the_actual_values_are_the_servers(sound, server):
    shown = rows(sound, "good.backtest")
    step = np.diff(shown["at"]).min()
    for at, actual in list(zip(shown["at"], shown["actual"], strict=True))[:: max(1, shown["at"].size // 5)]:
        query = f'avg_over_time(history{{kind="good"}}[{step:.0f}s])'
        [answer] = server.ask("query", query=query, time=at)["result"]
        assert float(answer["value"][1]) == pytest.approx(actual, rel=1e-6)


def test_the_server_is_never_asked_for_more_points_than_it_gives(sound, server):
    for each in server.asked():
        if each["step"]:
            began, ended = (np.datetime64(each[name].rstrip("Z")) for name in ("start", "end"))
            assert (ended - began) / np.timedelta64(1, "s") / each["step"] < 11_000


def test_every_model_that_was_tried_is_named(sound):
    models = str(sound.facts["good.models"])
    for name in ("AutoETS", "AutoARIMA", "MSTL", "Theta"):
        assert name in models, models
    assert sound.facts["good.model"]
    assert any(each.media_type == "image/svg+xml" for each in sound.attachments.values())


def altered(end, changed_s, rng):
    """Two histories that are the same up to a moment, and nothing alike afterwards."""
    times = made.grid(end - DAYS * DAY, end, MINUTE)
    one = kind("one", times, made.follow(RESTLESS, times, rng))
    other = made.scaled(one.named(kind="other"), end - changed_s, np.inf, 3.0)
    return one, attrs.evolve(other, values=other.values + np.where(times >= end - changed_s, times % 997, 0))


def differing(one, other, moment):
    """Return which windows had begun by a moment, which of these were not over, and the columns that are not alike.

    A window that was not over tells whether a model knows what it is to foretell; those before it, whether anything
    else looks ahead: cleaning, the choice of a model, intervals.
    """
    step = np.diff(one["at"]).min()
    numbers = np.unique(one["window"])
    begun = [each for each in numbers if one["at"][one["window"] == each].min() - step <= moment]
    open_then = [each for each in begun if one["at"][one["window"] == each].max() > moment + step]
    kept = np.isin(one["window"], begun)
    columns = ("at", "mean", "lower", "upper", "naive")
    return (
        begun,
        open_then,
        {each for each in columns if not np.allclose(one[each][kept], other[each][kept], rtol=1e-9)},
    )


def compared(rng, windows=6):
    """Foretell two histories that are the same up to a moment within a window, and compare what was said until then."""
    end = np.floor(time.time() / MINUTE) * MINUTE
    with serving(altered(end, 2.5 * HORIZON, rng)) as server:
        result = foretold(server.url, metric("one"), metric("other"), windows=windows)
    one, other = rows(result, "one.backtest"), rows(result, "other.backtest")
    assert not np.allclose(one["actual"], other["actual"])
    return differing(one, other, end - 2.5 * HORIZON)


def test_nothing_that_was_foretold_before_a_moment_depends_on_what_came_after(rng):
    begun, open_then, unlike = compared(rng)
    assert len(begun) >= 3
    assert open_then
    assert not unlike


def test_a_model_that_peeks_is_caught(rng, monkeypatch):
    """The same comparison of a program whose model knows the values that it is to foretell."""

    def peeking(history, metric, moments=()):
        setting = setting_of(history, metric, moments)

        def peek(past, steps):
            known = np.concatenate([setting.values, np.full(steps, past.raw[-1])])
            return known[past.raw.size : past.raw.size + steps]

        return attrs.evolve(setting, models={"peeks": peek})

    monkeypatch.setattr(main, "setting_of", peeking)
    monkeypatch.setattr(main, "mapping", lambda _processes: nullcontext(map))
    _, _, unlike = compared(rng)
    assert "mean" in unlike


@pytest.mark.full
@pytest.mark.parametrize("horizon", [HOUR, 6 * HOUR, 24 * HOUR])
def test_the_forecast_meets_the_future(horizon, rng):
    """The future is made with the past, and only the past is given to the server."""
    end = np.floor(time.time() / HOUR) * HOUR
    times = made.grid(end - 35 * DAY, end + 25 * HOUR, MINUTE)
    shape = Shape(100.0, daily=0.5, weekly=0.2, trend=0.02, noise=0.03)
    whole = kind("good", times, made.follow(shape, times, rng))
    with serving([made.between(whole, 0, end)]) as server:
        ahead = rows(foretold(server.url, metric("good", horizon=horizon), days=35), "good.forecast")
    step = np.diff(ahead["at"]).min()
    actual = np.array([whole.values[(times > at - step) & (times <= at)].mean() for at in ahead["at"]])
    assert np.abs(ahead["mean"] - actual).sum() / actual.sum() < 0.1
