"""What a report says of forecasts that outlive their run."""

from __future__ import annotations

import datetime as dt
import io

import attrs
import pytest
from rich.console import Console

from perfrun.api.run import KeptForecast, Phase, RunStatus
from perfrun.cli import show
from perfrun.cli.foretold import forecast_lines, read_forecasts
from perfrun.cli.stop import Stop

DUE = dt.datetime(2026, 1, 6, 12, 0, tzinfo=dt.UTC)
STATUS = RunStatus(
    phase=Phase.PASSED,
    forecasts=tuple(KeptForecast(metric=f"Metric {i}", name=f"m{i}", due_at=DUE) for i in range(4)),
)
HEAD = "forecast: Metric 0 until 2026-01-06 12:00 UTC, kept as perfforecast m0"


@attrs.frozen
class Access:
    """An API server that has one forecast which was scored, one that is new, and one that may not be read."""

    async def read(self, _kind, name):
        if name == "m3":
            raise Stop("the API server refuses to show PerfForecast m3 in team: forbidden")
        return {"m0": {"status": {"message": "WAPE 7 %"}}, "m1": {"spec": {}}}.get(name)


async def test_what_became_of_every_forecast_is_told():
    assert await read_forecasts(Access(), STATUS) == {
        "m0": "WAPE 7 %", "m1": "the operator has not looked at it yet", "m2": "it is not kept any more",
        "m3": "the API server refuses to show PerfForecast m3 in team: forbidden",
    }  # fmt: skip


def test_a_line_says_where_a_forecast_is_kept_and_how_it_did():
    assert forecast_lines(STATUS, {"m0": "WAPE 7 %"})[:2] == [
        f"{HEAD}: WAPE 7 %", HEAD.replace("0 until", "1 until").replace("m0", "m1"),
    ]  # fmt: skip
    assert forecast_lines(RunStatus(), {}) == []


@pytest.mark.parametrize("form", [show.Format.TABLE, show.Format.HTML])
def test_people_see_it_in_every_form_that_they_read(form):
    out = io.StringIO()
    show.render(show.Evidence("r", STATUS, forecasts={"m0": "WAPE 7 %"}), form, Console(file=out, width=200))
    assert f"{HEAD}: WAPE 7 %" in out.getvalue()
