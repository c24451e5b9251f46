"""From a backtest to how far off forecasts are, and whether a model was worth it.

The number is the error (WAPE) of what would have been foretold on windows of the past. It is no merit where the value
of a day or week before foretells as well, so that the ratio to seasonal naive's error decides, too.
"""

from __future__ import annotations

import math
from typing import Final

import attrs

from perfrun.api.base import JSON
from perfrun.api.plan import Claim
from perfrun.capabilities.base import Evidence, LiveRecord, Measured, NotMeasured, Outcome
from perfrun.capabilities.evidence import completed, place, window
from perfrun.capabilities.history import Told, attached, span
from perfrun.capabilities.rules import Rule, Why, incomplete, name_of, partial, weighed
from perfrun.language import quantities
from perfrun.language.model import Quantity
from perfrun_kernels.contract import Result

_NO_DATA: Final = frozenset({"NoSuchMetric", "EmptySeries"})
_TEXTS: Final = ("model", "models", "query", "step", "seasons", "overlap", "repaired", "warnings", "why")
_PERCENT: Final = ("naive", "coverage", "nominal")
_SPANS: Final = ("history", "needed")
_RANKING: Final = ("bottleneck", "bottlenecks", "usl")


@attrs.frozen
class _Row:
    """A row as it was asked for and as it was found."""

    claim: Claim
    told: Told
    live: LiveRecord | None

    @property
    def name(self) -> str:
        return name_of(self)


def measure(claim: Claim, evidence: Evidence) -> Outcome:
    """Return the prediction error of one metric, and what else speaks against it."""
    result = completed(evidence)
    if isinstance(result, NotMeasured):
        return result
    key = str(claim.parameters["key"])
    row = _Row(claim, Told(result, key), evidence.kept.get(key))
    error = row.told.number("wape")
    if error is None:
        reason = row.told.fact("reason") or "TooLittleHistory"
        message = row.told.fact("why") or row.told.lacking("wape")
        return NotMeasured(
            reason, message, no_data=reason in _NO_DATA, source=place(evidence), window=window(result),
            facts=_facts(row, result),
        )  # fmt: skip
    measured = _measured(row, error, result, evidence)
    return weighed(row, measured, REFUTING, DOUBTING)


def _measured(row: _Row, error: float, result: Result, evidence: Evidence) -> Measured:
    lower, upper = row.told.number("wape.lower"), row.told.number("wape.upper")
    value, low, high = (
        quantities.convert(Quantity(each, "%"), row.claim.unit)
        for each in (error, -math.inf if lower is None else lower, math.inf if upper is None else upper)
    )
    windows = row.told.number("windows") or 0.0
    return Measured(
        value=value, lower=low, upper=high, samples=int(windows),
        effective_samples=row.told.number("effective") or windows, window=window(result), source=place(evidence),
        facts=_facts(row, result), note=_note(row),
    )  # fmt: skip


def _no_skill(row: _Row) -> Why | None:
    lower = row.told.number("ratio.lower")
    if lower is None or lower < 1:
        return None
    return "NoSkill", f"{row.name} is foretold no better than by the same time one season before: {_ratio(row)}"


def _warned(row: _Row) -> Why | None:
    return partial(row.told.fact("warnings"))


def _skill_unclear(row: _Row) -> Why | None:
    if row.told.number("ratio") is None:
        return "SkillUnclear", f"{row.name} cannot be compared with seasonal naive: {row.told.lacking('ratio')}"
    upper = row.told.number("ratio.upper")
    if upper is not None and upper < 1:
        return None
    return "SkillUnclear", (
        f"it is not clear whether {row.name} is foretold better than by the same time one season before: {_ratio(row)}"
    )


REFUTING: Final[tuple[Rule[_Row], ...]] = (_no_skill,)
"""What contradicts a row, however small its error is."""

DOUBTING: Final[tuple[Rule[_Row], ...]] = (_warned, incomplete, _skill_unclear)
"""What leaves a row open, however small its error is."""


def _ratio(row: _Row) -> str:
    ratio, naive = row.told.number("ratio"), row.told.number("naive")
    lower, upper = row.told.number("ratio.lower"), row.told.number("ratio.upper")
    between = f" ({lower:.3g} to {upper:.3g})" if lower is not None and upper is not None else ""
    beside = f" of {naive:.3g} %" if naive is not None else ""
    return f"{ratio:.3g}{between} of seasonal naive's error{beside}"


def _note(row: _Row) -> str:
    told = row.told
    parts = [told.fact("model")] if told.fact("model") else []
    if told.number("ratio") is not None:
        parts.append(_ratio(row))
    if (coverage := told.number("coverage")) is not None:
        parts.append(f"{coverage:.3g} % within the {told.number('nominal') or 0:g} % prediction interval")
    if row.live is not None:
        parts.append(f"live: {live(row.live)}")
    return ", ".join(parts)


def live(record: LiveRecord) -> str:
    """Return how kept forecasts did, such as ``8.1 % in 12 forecasts since 2026-11-01``."""
    error = f"{record.wape:.3g} %" if record.wape is not None else "no error known"
    since = f" since {record.since:%Y-%m-%d}" if record.since is not None else ""
    naive = f", seasonal naive {record.naive:.3g} %" if record.naive is not None else ""
    within = f", {record.coverage:.3g} % within the interval" if record.coverage is not None else ""
    return f"{error} in {record.count} forecast{'' if record.count == 1 else 's'}{since}{naive}{within}"


def _facts(row: _Row, result: Result) -> dict[str, JSON]:
    told = row.told
    facts: dict[str, JSON] = {name: text for name in _TEXTS if (text := told.fact(name))}
    numbers = {f"{name}_percent": told.number(name) for name in _PERCENT}
    numbers |= {name.replace(".", "_"): told.number(name) for name in ("ratio", "ratio.lower", "ratio.upper")}
    facts |= {name: round(value, 4) for name, value in numbers.items() if value is not None}
    facts |= {name: span(length) for name in _SPANS if (length := told.number(name)) is not None}
    if row.live is not None:
        facts["live_record"] = live(row.live)
    if row.claim.parameters["ranking"]:
        facts |= {name: text for name in _RANKING if (text := told.common(name))}
    return facts | attached(result)
