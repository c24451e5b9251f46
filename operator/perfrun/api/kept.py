"""PerfForecast: what a run foretold of one metric, kept until it can be compared with what happened."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from perfrun.api.base import JSON, Model
from perfrun.api.durations import Duration, Second, Time
from perfrun.api.telemetry import Query

MAX_POINTS: Final = 500
"""Most steps that one forecast reaches ahead."""

Name = Annotated[str, Field(min_length=1, max_length=253)]


class Foreseen(Model):
    """One step of the time ahead; all values are means over it, in the forecast's unit."""

    at: Second = Field(description="End of the step.")
    mean: float = Field(description="What is expected.")
    lower: float = Field(description="Lower bound of the prediction interval.")
    upper: float = Field(description="Upper bound of the prediction interval.")
    naive: float | None = Field(default=None, description="What seasonal naive expects, where the run tells.")


class Backtest(Model):
    """How the model did on the history that it was chosen by, in percent; what could not be told is left out."""

    wape: float | None = Field(default=None, description="Weighted absolute percentage error.")
    naive: float | None = Field(default=None, description="That of seasonal naive on the same windows.")
    coverage: float | None = Field(default=None, description="Share of values within the prediction interval.")
    nominal: float | None = Field(default=None, description="Share that the prediction interval is made to hold.")


class ForecastSpec(Model):
    """What was foretold; it never changes."""

    target_ref: Name = Field(description="Name of the PerfTarget in the same namespace, which owns the forecast.")
    run: Name = Field(description="Name of the PerfRun that made it.")
    metric: str = Field(min_length=1, max_length=128, description="The metric in the feature's words.")
    key: str = Field(min_length=1, max_length=128, description="The metric in results and in perfrun's own metrics.")
    query: Query = Field(description="The resolved PromQL of the metric's history, and of what will have happened.")
    unit: str = Field(default="", max_length=40, description="Unit of all values.")
    model: str = Field(default="", max_length=128, description="The model that was chosen.")
    made_at: Time = Field(description="When it was made.")
    step: Duration = Field(description="Time between two points.")
    horizon: Duration = Field(description="How far ahead it reaches.")
    points: tuple[Foreseen, ...] = Field(min_length=1, max_length=MAX_POINTS, description="Every step, in order.")
    backtest: Backtest = Field(default=Backtest(), description="How the model did on history.")


class ForecastStatus(Model):
    """How the forecast compares with what happened, once that is known."""

    observed_generation: int = Field(default=-1, description="Generation that this status describes.")
    state: Literal["Waiting", "Scored", "GivenUp"] = Field(
        default="Waiting", description="Waiting: its time has not come, or what happened could not be read yet."
    )
    conditions: tuple[dict[str, JSON], ...] = Field(default=(), description="Scored, with the reason where it is not.")
    message: str = Field(default="", description="Why, in one sentence.")
    scored_at: Time | None = Field(default=None, description="When it was scored.")
    wape: float | None = Field(default=None, description="Weighted absolute percentage error, percent.")
    naive_wape: float | None = Field(default=None, description="That of seasonal naive on the same points, percent.")
    coverage: float | None = Field(default=None, description="Share of points within the interval, percent.")
    points: int | None = Field(default=None, description="Points whose value became known.")
    covered: int | None = Field(default=None, description="Those of them within the prediction interval.")
    absolute_error: float | None = Field(default=None, description="Sum of the absolute errors, in the unit.")
    absolute_naive_error: float | None = Field(default=None, description="That of seasonal naive, in the unit.")
    absolute_actual: float | None = Field(default=None, description="Sum of the absolute values, in the unit.")
