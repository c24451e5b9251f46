"""How a row of a table is judged that promises more than its number: by chains of rules, read in their order.

A pod hands in for every row what it found. What contradicts the row refutes it, what must be known beyond doubt and is
not leaves it open, and only then its number decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from perfrun.api.plan import Claim
from perfrun.capabilities.base import Measured, Outcome, Refuted, Unproven
from perfrun.capabilities.history import Told

Why = tuple[str, str]
"""A reason and its sentence."""


class Row(Protocol):
    """A row as it was stated and as it was found."""

    @property
    def claim(self) -> Claim:
        """Return what it promises."""

    @property
    def told(self) -> Told:
        """Return what the pod says of it."""


_Row = TypeVar("_Row", bound=Row)

Rule = Callable[[_Row], Why | None]
"""What speaks against a row, or None."""


def name_of(row: Row) -> str:
    """Return the row's metric as the feature names it."""
    return str(row.claim.parameters["name"])


def weighed(row: _Row, measured: Measured, refuting: Iterable[Rule[_Row]], doubting: Iterable[Rule[_Row]]) -> Outcome:
    """Return what was measured together with the first rule that speaks against the row, where one does."""
    for rule in refuting:
        if (why := rule(row)) is not None:
            return Refuted(*why, measured)
    for rule in doubting:
        if (why := rule(row)) is not None:
            return Unproven(*why, measured)
    return measured


def incomplete(row: Row) -> Why | None:
    """Say what the pod itself found wanting although it has a number."""
    reason = row.told.fact("reason")
    return (reason, f"{name_of(row)}: {row.told.fact('why')}") if reason else None


def partial(warnings: str) -> Why | None:
    """Say that the server warned of its answers, if it did."""
    return ("PartialData", f"the server's answers may lack something: {warnings}") if warnings else None
