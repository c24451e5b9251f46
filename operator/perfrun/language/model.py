"""What a feature means once it is read: scenarios whose steps carry values instead of words.

These are plain values. The vocabulary gives a step its meaning; capabilities turn meanings into plans.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs

Role = Literal["context", "action", "outcome"]
"""Given, When, Then; And, But and * take the role of the step before."""


@attrs.frozen(order=True)
class Location:
    """A place in the feature file; lines and columns count from 1."""

    line: int
    column: int = 1


@attrs.frozen
class Problem:
    """Something wrong with a feature: one sentence that says what was found and what to do.

    ``rule`` is a stable identifier such as ``undefined-step``; ``hint`` is the nearest known phrase, or empty.
    """

    location: Location
    rule: str
    message: str
    hint: str = ""


@attrs.frozen
class Cell:
    """One table cell."""

    text: str
    location: Location


@attrs.frozen
class Table:
    """A data table with its header."""

    header: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def records(self) -> tuple[Mapping[str, Cell], ...]:
        """Return the rows as mappings from header text to cell."""
        return tuple({head.text: cell for head, cell in zip(self.header, row, strict=True)} for row in self.rows)


@attrs.frozen
class Quantity:
    """A number with a unit, both as written and in the unit's own terms.

    ``value`` is in ``unit``; ``unit`` is one that ``perfrun.language.quantities`` knows. A percentage has the
    unit ``%``; a bare number has the unit ``""``.
    """

    value: float
    unit: str


@attrs.frozen
class Meaning:
    """What one step means.

    ``key`` names the phrase within its capability (``batch_size``, ``sample_tokens``); ``values`` are its typed
    arguments. A claim has ``key`` equal to its subject (``p99_latency``) and ``comparator`` and ``limit`` set.
    ``scope`` qualifies the claim (``sustained`` for "stay"/"remain").
    """

    capability: str
    key: str
    values: Mapping[str, Any] = attrs.field(factory=dict)
    comparator: Literal["<", "<=", ">", ">="] | None = None
    limit: Quantity | None = None
    label: str = ""
    sustained: bool = False


@attrs.frozen
class Step:
    """One step with placeholders filled in."""

    keyword: str
    role: Role
    text: str
    location: Location
    table: Table | None = None
    doc: str | None = None
    meaning: Meaning | None = None


@attrs.frozen
class Scenario:
    """One pickle: a scenario, or one row of an outline, with the background's steps first.

    ``capability`` is the one that all its steps belong to (the most specific; named metrics may join any).
    ``location`` is that of the scenario, or of the row for an outline.
    """

    name: str
    location: Location
    tags: tuple[str, ...]
    steps: tuple[Step, ...]
    capability: str = ""
    row: Mapping[str, str] = attrs.field(factory=dict)
    rule: str = ""

    @property
    def title(self) -> str:
        """The name, with the row's values for an outline: what tells its rows apart."""
        values = ", ".join(f"{name}={value}" for name, value in self.row.items())
        return f"{self.name} [{values}]" if values else self.name

    def meanings(self, key: str) -> tuple[Meaning, ...]:
        """Return the meanings with this key, in order."""
        return tuple(step.meaning for step in self.steps if step.meaning is not None and step.meaning.key == key)

    def outcomes(self, capability: str) -> dict[int, Meaning]:
        """Return what this capability's Then steps mean, by the step's index."""
        return {
            index: step.meaning
            for index, step in enumerate(self.steps)
            if step.meaning is not None and step.meaning.capability == capability and step.role == "outcome"
        }


@attrs.frozen
class Feature:
    """A feature, read."""

    name: str
    language: str
    tags: tuple[str, ...]
    scenarios: tuple[Scenario, ...]
