"""What was foretold, as numbers, tables, sentences and a picture of the result contract."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import attrs
import numpy as np

from perfrun_kernels.contract import Attachment, Scalar, Table
from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.forecast.accuracy import Quotient
from perfrun_kernels.forecast.backtest import BEFORE
from perfrun_kernels.forecast.cleaning import stretches
from perfrun_kernels.forecast.foreseeing import Foreseen
from perfrun_kernels.forecast.history import duration
from perfrun_kernels.forecast.intervals import NOMINAL
from perfrun_kernels.forecast.parameters import Metric
from perfrun_kernels.forecast.past import Floats
from perfrun_kernels.forecast.scoring import Foretold
from perfrun_kernels.pictures.values import Backtested, Foresight, ForetoldMetric, Judged, Stretch
from perfrun_kernels.program import Fact

MOST_POINTS: Final = 2000
"""Points of a history that are handed in."""

_PERCENT: Final = 100.0
_CONSTANT: Final = "every value of the history is the same: it is foretold exactly, and that shows no skill"
_LONGEST_FACT: Final = 1000

Outcome = Foreseen | UnmeasurableError
_Value = TypeVar("_Value")


@attrs.frozen
class Part:
    """What one metric adds to the result."""

    scalars: Mapping[str, Scalar]
    facts: Mapping[str, Fact]
    tables: Mapping[str, Table]


def part(metric: Metric, outcome: Outcome, warnings: Sequence[str] = ()) -> Part:
    """Return a metric's numbers, facts and tables, named by its key."""
    told = _lacking(outcome) if isinstance(outcome, UnmeasurableError) else _foreseen(metric, outcome)
    facts = {**told.facts, "horizon": duration(metric.horizon_s), "warnings": "; ".join(warnings)[:_LONGEST_FACT]}
    return Part(_named(metric, told.scalars), _named(metric, facts), _named(metric, told.tables))


def _named(metric: Metric, values: Mapping[str, _Value]) -> dict[str, _Value]:
    return {f"{metric.key}.{name}": each for name, each in values.items()}


def _lacking(error: UnmeasurableError) -> Part:
    units = dict.fromkeys(("wape", "wape.lower", "wape.upper", "naive", "coverage", "nominal"), "%")
    units |= dict.fromkeys(("ratio", "ratio.lower", "ratio.upper"), "") | {"windows": "windows", "effective": "windows"}
    scalars = {name: Scalar(unit, None, str(error)) for name, unit in units.items()}
    for name in ("history", "needed"):
        value = error.facts.get(name)
        scalars[name] = Scalar("s", float(value)) if value is not None else Scalar("s", None, str(error))
    return Part(scalars, {"reason": error.reason, "why": str(error)}, {})


def _foreseen(metric: Metric, found: Foreseen) -> Part:
    score, history = found.score, found.history
    scalars = {
        **_bounded("wape", "%", score.wape, _PERCENT),
        "naive": Scalar("%", score.naive * _PERCENT),
        **_bounded("ratio", "", score.ratio, 1.0),
        "coverage": Scalar("%", score.coverage * _PERCENT), "nominal": Scalar("%", NOMINAL * _PERCENT),
        "windows": Scalar("windows", float(len(score.windows))), "effective": Scalar("windows", score.effective),
        "history": Scalar("s", history.seconds), "needed": Scalar("s", found.needed_s),
    }  # fmt: skip
    facts: dict[str, Fact] = {
        "model": _model(found.forecast.models), "models": _models(found)[:_LONGEST_FACT], "query": history.query,
        "step": duration(history.step_s), "seasons": _seasons(found), "repaired": _repaired(found),
        "overlap": _overlap(found, metric),
        "reason": "ConstantSeries" if found.constant else "", "why": _CONSTANT if found.constant else "",
    }  # fmt: skip
    return Part(scalars, facts, _tables(found))


def _bounded(name: str, unit: str, quotient: Quotient | None, factor: float) -> dict[str, Scalar]:
    if quotient is None:
        return {f"{name}{bound}": Scalar(unit, None, "seasonal naive made no error at all") for bound in _BOUNDS}
    values = (quotient.value, quotient.lower, quotient.upper)
    return {f"{name}{bound}": Scalar(unit, value * factor) for bound, value in zip(_BOUNDS, values, strict=True)}


_BOUNDS: Final = ("", ".lower", ".upper")


def _model(names: Sequence[str]) -> str:
    return f"mean of {', '.join(names)}"


def _models(found: Foreseen) -> str:
    """Return every model's own error, the best first, seasonal naive's among them."""
    errors = dict(found.score.models)
    for season, error in found.score.seasons.items():
        errors[f"seasonal naive ({duration(season * found.history.step_s)})"] = error
    return ", ".join(
        f"{name} {error * _PERCENT:.3g} %" for name, error in sorted(errors.items(), key=lambda each: each[1])
    )


def _seasons(found: Foreseen) -> str:
    step = found.history.step_s
    held = [duration(each * step) for each in found.setting.seasons if found.setting.values.size >= 2 * each]
    counts = Counter(duration(each.season * step) for each in found.score.windows)
    yardstick = ", ".join(f"{season} in {count} windows" for season, count in counts.most_common())
    return f"{' and '.join(held) or 'none'}; seasonal naive: {yardstick}"


def _repaired(found: Foreseen) -> str:
    strange = found.history.not_numbers
    return found.repairs.sentence + (f"; {strange} values were not a number" if strange else "")


def _overlap(found: Foreseen, metric: Metric) -> str:
    if found.stride >= metric.ahead:
        return "windows do not overlap"
    stride = duration(found.stride * found.history.step_s)
    return f"windows begin every {stride} and overlap: {found.score.effective:.3g} effective ones"


def _tables(found: Foreseen) -> dict[str, Table]:
    at = found.history.at
    rows = [
        [float(index), *row]
        for index, (window, actual) in enumerate(zip(found.score.windows, found.score.actuals, strict=True))
        for row in _rows(window, at[window.origin : window.origin + actual.size], actual)
    ]
    every = -(-at.size // MOST_POINTS)
    shown = [[float(moment), float(value)] for moment, value in zip(*thinned(found, every), strict=True)]
    return {
        "backtest": Table(["window", "at", "actual", "mean", "lower", "upper", "naive"], rows),
        "forecast": Table(["at", "mean", "lower", "upper", "naive"], _rows(found.forecast, ahead(found))),
        "history": Table(["at", "value"], shown),
    }


def _rows(said: Foretold, at: Floats, actual: Floats | None = None) -> list[list[float]]:
    """Return a row for each step; where it is known what happened, only for those that have a value."""
    columns = [said.mean, said.interval.lower, said.interval.upper, said.naive]
    if actual is None:
        rows = np.column_stack([at, *columns])
    else:
        rows = np.column_stack([at, actual, *columns])[np.isfinite(actual)]
    return [[float(each) for each in row] for row in rows]


def ahead(found: Foreseen) -> Floats:
    """Return the ends of the foretold steps, in seconds since the epoch."""
    return np.asarray(found.history.at[-1] + found.history.step_s * np.arange(1, found.setting.ahead + 1))


def thinned(found: Foreseen, every: int) -> tuple[Floats, Floats]:
    """Return moments and means of so many steps at a time, without those that have no value."""
    at, values = found.history.at, found.history.values
    edges = np.arange(0, at.size, every)
    known = np.isfinite(values)
    count = np.add.reduceat(known, edges)
    sums = np.add.reduceat(np.where(known, values, 0.0), edges)
    kept = count > 0
    return at[np.minimum(edges + every - 1, at.size - 1)][kept], sums[kept] / count[kept]


def foresight(metrics: Sequence[Metric], outcomes: Mapping[str, Outcome], now: float, bottleneck: str) -> Foresight:
    """Return what the picture shows."""
    return Foresight(
        "Forecasts and their backtests", bottleneck, tuple(_pictured(each, outcomes[each.key], now) for each in metrics)
    )


def _pictured(metric: Metric, outcome: Outcome, now: float) -> ForetoldMetric:
    name = f"{metric.name}, {duration(metric.horizon_s)} ahead"
    nothing = np.empty(0)
    if isinstance(outcome, UnmeasurableError):
        return ForetoldMetric(name, metric.unit, str(outcome), now, "unknown", nothing, nothing)
    at, forecast, score = outcome.history.at, outcome.forecast, outcome.score
    windows = tuple(
        Backtested(
            float(at[each.origin - 1]), at[each.origin : each.origin + actual.size], actual, each.mean,
            each.interval.lower, each.interval.upper, each.naive,
        )
        for each, actual in zip(score.windows, score.actuals, strict=True)
    )  # fmt: skip
    return ForetoldMetric(
        name, metric.unit, sentence(outcome), float(at[-1]), _judged(outcome), at, outcome.history.values, windows,
        ahead(outcome), forecast.mean, forecast.interval.lower, forecast.interval.upper,
        _repairs(outcome), tuple(Stretch(float(at[each.at]), float(at[each.at])) for each in outcome.repairs.shifts),
        NOMINAL,
    )  # fmt: skip


def sentence(found: Foreseen) -> str:
    """Return how good a metric's forecasts are, in words."""
    score = found.score
    wape = " to ".join(f"{each * _PERCENT:.3g}" for each in (score.wape.lower, score.wape.upper))
    skill = _CONSTANT
    if score.ratio is not None:
        ratio = score.ratio
        skill = (
            f"{ratio.value:.3g} ({ratio.lower:.3g} to {ratio.upper:.3g}) of the error of seasonal naive, "
            f"{score.naive * _PERCENT:.3g} %"
        )
    return (
        f"off by {score.wape.value * _PERCENT:.3g} % ({wape}) in {len(score.windows)} windows; {skill}; "
        f"{score.coverage:.0%} within the {NOMINAL:.0%} interval; {_model(found.forecast.models)}; "
        f"repaired: {_repaired(found)}"
    )


def _judged(found: Foreseen) -> Judged:
    ratio = found.score.ratio
    if ratio is None or ratio.lower < 1 <= ratio.upper:
        return "unknown"
    return "good" if ratio.upper < 1 else "bad"


def _repairs(found: Foreseen) -> tuple[Stretch, ...]:
    at, step = found.history.at, found.history.step_s
    kinds = ((found.repairs.missing, "gap"), (found.repairs.outliers, "outlier"))
    return tuple(
        Stretch(float(at[start]) - step, float(at[end - 1]), words)
        for mask, words in kinds
        for start, end in stretches(mask)
    )


def models(metrics: Sequence[Metric], outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """Return what goes into the file for programs: each model's and each window's error, and what made the mean."""
    return {each.key: _file(outcomes[each.key]) for each in metrics}


def _file(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, UnmeasurableError):
        return {"reason": outcome.reason, "why": str(outcome)}
    score, at = outcome.score, outcome.history.at
    return {
        "query": outcome.history.query, "step_s": outcome.history.step_s,
        "training_windows": BEFORE, "stride_s": outcome.stride * outcome.history.step_s,
        "models": dict(score.models),
        "seasonal_naive": {duration(each * outcome.history.step_s): error for each, error in score.seasons.items()},
        "windows": [{"made_at": float(at[each.origin - 1]), "models": list(each.models)} for each in score.windows],
        "forecast": list(outcome.forecast.models),
        "shifts": [{"at": float(at[each.at]), "ratio": each.ratio} for each in outcome.repairs.shifts],
    }  # fmt: skip


def attachment(media_type: str, content: str) -> Attachment:
    """Return a file of a result."""
    return Attachment(media_type, base64.b64encode(content.encode()).decode())


def document(content: Mapping[str, Any]) -> Attachment:
    """Return a file of JSON."""
    return attachment("application/json", json.dumps(content, indent=1))
