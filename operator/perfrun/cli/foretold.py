"""What a run foretold, and how it did: forecasts outlive their run, so it is their own objects that tell."""

from __future__ import annotations

from collections.abc import Mapping

from perfrun.api.run import RunStatus
from perfrun.cli.access import Access
from perfrun.cli.stop import Stop


async def read_forecasts(access: Access, status: RunStatus) -> dict[str, str]:
    """Return what became of the forecasts of a run, a sentence for each by its name.

    Raises:
        Unavailable: the API server did not answer.
    """
    return {each.name: await _told(access, each.name) for each in status.forecasts}


async def _told(access: Access, name: str) -> str:
    try:
        found = await access.read("PerfForecast", name)
    except Stop as refused:
        return str(refused)
    if found is None:
        return "it is not kept any more"
    return (found.get("status") or {}).get("message") or "the operator has not looked at it yet"


def forecast_lines(status: RunStatus, told: Mapping[str, str]) -> list[str]:
    """Return what a run foretold, a line each, with what was ``told`` of it by the forecast's name."""
    return [
        f"forecast: {each.metric} until {each.due_at:%Y-%m-%d %H:%M} UTC, kept as perfforecast {each.name}"
        + (f": {told[each.name]}" if each.name in told else "")
        for each in status.forecasts
    ]
