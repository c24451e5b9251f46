"""The words of named metrics: every metric of a PerfTarget is a subject, so that a new SLO needs no Python.

A metric's name is plain words, with ``{service}`` where a feature puts a value: 'error ratio of {service}' is said as
'error ratio of "checkout"'. The value reaches the query as a quoted label value and as nothing else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from perfrun.language import quantities
from perfrun.language.expressions import escape
from perfrun.language.vocabulary import Phrase, Subject, Vocabulary, meaning

if TYPE_CHECKING:
    from perfrun.api.target import Metric

NAME: Final = "custom"
PARAMETER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""A part of a metric's name that features replace with a quoted value."""


def custom_vocabulary(metrics: tuple[Metric, ...] = ()) -> Vocabulary:
    """Return the words of a target's metrics; without any, only the phrase that waits.

    A claim's key is the metric's name, its values ``metric`` (the same) and ``parameters`` (name → value).

    Raises:
        QuantityError: a metric has a unit that is not known.
    """
    return Vocabulary(
        capability=NAME, title="Named metrics", companion=True, phrases=(_OBSERVE,),
        subjects=tuple(_subject(metric) for metric in metrics),
    )  # fmt: skip


def _subject(metric: Metric) -> Subject:
    names = PARAMETER.findall(metric.name)
    # split() with a group alternates plain text and names, so every other part is text.
    plain = PARAMETER.split(metric.name)[::2]
    said = PARAMETER.sub(lambda found: f'"{found.group(1)}"', metric.name)
    unit = quantities.canonical(metric.unit)
    return Subject(
        key=metric.name, words=("{string}".join(escape(part) for part in plain),), unit=unit,
        dimension=quantities.dimension(unit), parameters=tuple(names), values=(("metric", metric.name),), signed=True,
        gather="parameters", example=said,
    )  # fmt: skip


_OBSERVE: Final = Phrase(
    "observing for {quantity}", "action",
    lambda period: meaning(NAME, "observe", seconds=quantities.convert(period, "s")),
    dimensions=("time",), neutral=True, example="observing for 5 minutes",
)  # fmt: skip
