"""How a claim says in which direction its limit lies: every comparator in words, spelt out as one table.

Spelt out, because "should not be below" and "should be at least" must mean the same thing, and a table can be read
and listed where a clever pattern cannot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from perfrun.language.vocabulary import Change, Comparator

RELATIONS: Final[Mapping[str, Comparator]] = {
    "below": "<", "under": "<", "less than": "<", "lower than": "<", "fewer than": "<", "shorter than": "<",
    "above": ">", "over": ">", "more than": ">", "greater than": ">", "higher than": ">", "longer than": ">",
    "at most": "<=", "no more than": "<=", "within": "<=", "up to": "<=",
    "at least": ">=", "no less than": ">=",
}  # fmt: skip
"""What stands between verb and limit."""

BY: Final = ("at least", "at most", "more than", "less than", "no more than", "no less than")
"""The relations that can say how much something changes."""

_OPPOSITE: Final[Mapping[Comparator, Comparator]] = {"<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_SHOULD: Final = (("should ", False), ("must ", False), ("should not ", True), ("must not ", True))


@attrs.frozen
class Comparison:
    """What a comparator says: the relation, whether it must hold throughout, and whether it is about a change."""

    comparator: Comparator
    sustained: bool = False
    change: Change = ""


def _all() -> Iterator[tuple[str, Comparison]]:
    for auxiliary, negated in _SHOULD:
        for verb, sustained in (("be", False), ("stay", True), ("remain", True)):
            for relation, sign in RELATIONS.items():
                yield f"{auxiliary}{verb} {relation}", Comparison(_OPPOSITE[sign] if negated else sign, sustained)
        yield f"{auxiliary}exceed", Comparison("<=" if negated else ">")
        for change in ("increase", "decrease"):
            for relation in BY:
                sign = RELATIONS[relation]
                comparator = _OPPOSITE[sign] if negated else sign
                yield f"{auxiliary}{change} by {relation}", Comparison(comparator, change=change)


COMPARATORS: Final[Mapping[str, Comparison]] = dict(_all())
"""Every comparator in words, such as "should stay below" or "should not decrease by more than"."""
