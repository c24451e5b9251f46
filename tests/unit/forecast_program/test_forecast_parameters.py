"""What the forecast program is asked is checked before a server is."""

from __future__ import annotations

import pytest

from perfrun_kernels.faults import ParametersError
from perfrun_kernels.forecast.parameters import Metric, parse

HOUR = 3600.0
METRIC = {"key": "load", "name": "Load", "query": "sum(rate(x[$window]))", "unit": "1/s", "horizon_s": HOUR}


def asked(**changed):
    return {"prometheus": {"url": "http://p:9090", "timeout_s": 10.0}, "metrics": [METRIC]} | changed


def test_what_is_left_out_has_usual_values():
    wanted = parse(asked())
    assert (wanted.windows, wanted.confidence, wanted.lookback_s) == (20, 0.99, 35 * 24 * HOUR)
    assert wanted.metrics == (Metric("load", "Load", "sum(rate(x[$window]))", "1/s", HOUR),)


@pytest.mark.parametrize(
    ("horizon", "step", "ahead"),
    [(HOUR, 300, 12), (6 * HOUR, 900, 24), (24 * HOUR, HOUR, 24), (5 * HOUR, 900, 20), (30 * 24 * HOUR, 172_800, 15)],
)
def test_a_horizon_has_at_most_24_steps(horizon, step, ahead):
    metric = Metric("k", "n", "q", "", horizon)
    assert (metric.step_s, metric.ahead) == (step, ahead)


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"prometheus": {"url": "p:9090"}}, "prometheus.url"),
        ({"metrics": []}, "metrics"),
        ({"metrics": [METRIC, METRIC]}, "metrics"),
        ({"metrics": [METRIC | {"query": " "}]}, "metrics[0].query"),
        ({"metrics": [METRIC | {"key": "a.b"}]}, "metrics[0].key"),
        ({"metrics": [METRIC | {"horizon_s": 0}]}, "metrics[0].horizon_s"),
        ({"windows": 4}, "windows"),
        ({"confidence": 1}, "confidence"),
        ({"horizon": 1}, "horizon"),
    ],
)
def test_what_is_wrong_is_named(changed, place):
    with pytest.raises(ParametersError, match=place.replace("[", r"\[").replace("]", r"\]")):
        parse(asked(**changed))
