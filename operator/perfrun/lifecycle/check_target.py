"""What is wrong with a PerfTarget beyond its schema, found once for admission, status and the command line."""

from __future__ import annotations

from perfrun.api.target import Metric, TargetSpec
from perfrun.capabilities.words.custom import PARAMETER
from perfrun.language.quantities import QuantityError, canonical
from perfrun.measuring.promql import TemplateError, check


def target_problems(spec: TargetSpec) -> tuple[str, ...]:
    """Return one sentence for every metric that features could not use."""
    names = [metric.name for metric in spec.metrics]
    twice = sorted({name for name in names if names.count(name) > 1})
    repeated = tuple(f"metric {name!r} is there twice; give each metric its own name" for name in twice)
    wrong = tuple(problem for metric in spec.metrics if (problem := _metric(metric)))
    return repeated + wrong


def _metric(metric: Metric) -> str:
    try:
        canonical(metric.unit)
        check(metric.query, frozenset(PARAMETER.findall(metric.name)))
    except (QuantityError, TemplateError) as error:
        return f"metric {metric.name!r}: {error}"
    return ""
