"""That the benchmarks of telemetry and forecasts run from end to end, and read what they print."""

from __future__ import annotations

import forecast
import pytest
import telemetry
from historybed.series import DAY


def test_models_are_read_with_their_errors():
    told = "AutoETS 7.1 %, seasonal naive 8.25 %, MSTL with AutoARIMA 12 %"
    assert forecast._models(told) == {"AutoETS": 7.1, "seasonal naive": 8.25, "MSTL with AutoARIMA": 12.0}


def test_a_share_counts_what_is_within_and_what_is_better():
    def one(wape, ratio_upper):
        return forecast.Accuracy("a", "Theta", wape, wape + 1, 9.0, ratio_upper, 90.0, 95.0, {"AutoETS": 9.5})

    found = [one(9.0, 0.9), one(10.0, 1.0), one(30.0, 0.5), one(4.0, 1.2)]
    assert forecast._share(found, forecast._within) == 75
    assert forecast._share(found, forecast._better) == 50
    table = forecast._table("real", found)
    assert table.startswith("forecast: real: 3 of 4 within 10 %, 2 surely better than seasonal naive")
    assert len(table.splitlines()) == 6


def test_points_of_a_range_query_are_counted():
    asked = {"start": "2026-11-26T01:00:00.000Z", "end": "2026-11-26T02:00:00.000Z", "step": 60}
    assert forecast._points(asked) == 61
    assert telemetry._points(asked | {"step": 0}) == 1


@pytest.mark.full
def test_a_day_of_two_series_is_judged():
    rows = {row[0]: row for row in telemetry.run(turns=1, nodes=4, seconds=DAY)}
    assert all(not limit or value <= limit for _, value, _, _, limit in rows.values()), rows
