"""Outlines, backgrounds and rules → single scenarios, by the official compiler, within bounds.

A feature is small, but a table of a thousand rows in an outline of a thousand rows makes a million, and a
placeholder may stand ten thousand times. Both are counted before anything is made, because admission must not be
held up by a text.
"""

from __future__ import annotations

import re
from typing import Any, Final

from gherkin.pickles.compiler import Compiler

STEPS: Final = 100_000
"""Most steps and table cells of all scenarios together."""

FILLED: Final = 4_194_304
"""Most characters that placeholders may be replaced by, all scenarios together."""

PLACEHOLDER: Final = re.compile(r"<([^<>\s][^<>]*)>")
"""A placeholder, such as <max_latency>; the group is its name."""


class ExpansionError(ValueError):
    """The scenarios would grow too large; the message says what to do."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the feature's outlines expand to {what}; give tables and Examples fewer rows, or split the feature"
        )


def expand(document: Any) -> list[Any]:
    """Return the pickles of a parsed document that has a feature.

    Raises:
        ExpansionError: they would grow too large.
    """
    size = _expanded(document["feature"])
    if size > STEPS:
        raise ExpansionError(f"{size} steps and table cells, but {STEPS} is the most")
    pickles: list[Any] = _Bounded().compile(document | {"uri": ""})
    return pickles


class _Bounded(Compiler):
    """The official compiler, but growth ends, and a column's name is text: the original takes ``a+b`` for a pattern."""

    _filled = 0

    def _interpolate(self, name: Any, variable_cells: Any, value_cells: Any) -> Any:
        row = {head["value"]: cell["value"] for head, cell in zip(variable_cells, value_cells, strict=False)}

        def fill(found: re.Match[str]) -> str:
            value: str = row.get(found.group(1), found.group())
            self._filled += len(value)
            if self._filled > FILLED:
                raise ExpansionError(f"more than {FILLED} characters")
            return value

        return PLACEHOLDER.sub(fill, name) if name and row else name


def _expanded(parent: Any, background: int = 0) -> int:
    """Return how many steps and cells all scenarios have once outlines and backgrounds are filled in."""
    total = 0
    for child in parent["children"]:
        if "rule" in child:
            total += _expanded(child["rule"], background)
            continue
        definition = child.get("background") or child["scenario"]
        rows = (row["cells"] for step in definition["steps"] for row in step.get("dataTable", {"rows": ()})["rows"])
        own = len(definition["steps"]) + sum(map(len, rows))
        if "background" in child:
            background += own
        else:
            tables = definition["examples"]
            total += (sum(len(each["tableBody"]) for each in tables) if tables else 1) * (own + background)
    return total
