"""Tables of steps: cells become typed values, and every cell that cannot is a problem at its own place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perfrun.language import quantities
from perfrun.language.expressions import nearest
from perfrun.language.model import Cell, Location, Problem, Table
from perfrun.language.vocabulary import Column
from perfrun.language.wording import quoted


def read_rows(
    table: Table | None, columns: tuple[Column, ...], location: Location
) -> tuple[tuple[Mapping[str, Any], ...], tuple[Problem, ...]]:
    """Return the typed rows of a step's table, and what is wrong with it.

    ``location`` is the step's, for a table that is missing altogether.
    """
    names = ", ".join(column.name for column in columns)
    if table is None:
        return (), (Problem(location, "missing-table", f"the step needs a table; expected the columns {names}"),)
    problems = [*_headers(table, columns, location)]
    if not table.rows:
        problems.append(Problem(location, "empty-table", f"the table has a header ({names}) but no rows; add one"))
    known = {column.name: column for column in columns}
    rows: list[Mapping[str, Any]] = []
    for record in table.records():
        row: dict[str, Any] = {}
        for name, cell in record.items():
            if name in known:
                try:
                    row[name] = _value(cell.text, known[name])
                except quantities.QuantityError as error:
                    problems.append(Problem(cell.location, error.rule, f"column {name!r}: {error}", error.hint))
        rows.append(row)
    problems += _repeated(table, [column for column in columns if column.key])
    return tuple(rows), tuple(problems)


def _headers(table: Table, columns: tuple[Column, ...], location: Location) -> list[Problem]:
    names = [column.name for column in columns]
    problems = []
    seen: set[str] = set()
    for head in table.header:
        if head.text not in names:
            hint = nearest(head.text, names, cutoff=0.5)
            also = f"; did you mean {hint!r}?" if hint else f"; expected one of {', '.join(names)}"
            message = f"the column {quoted(head.text)} is not known here{also}"
            problems.append(Problem(head.location, "unknown-column", message, hint))
        elif head.text in seen:
            message = f"the column {quoted(head.text)} stands twice in the table; remove one"
            problems.append(Problem(head.location, "duplicate-column", message))
        seen.add(head.text)
    place = table.header[0].location if table.header else location
    missing = [column.name for column in columns if column.required and column.name not in seen]
    problems += [Problem(place, "missing-column", f"the table lacks the column {name!r}; add it") for name in missing]
    return problems


def _value(text: str, column: Column) -> Any:
    if column.kind == "text":
        if not text:
            raise quantities.QuantityError("bad-cell", "the cell is empty; expected a name")
        if column.choices and text not in column.choices:
            hint = nearest(text, column.choices, cutoff=0.5)
            also = f"; did you mean {hint!r}?" if hint else ""
            message = f"{quoted(text)} is not known; expected one of {', '.join(column.choices)}{also}"
            raise quantities.QuantityError("unknown-value", message, hint)
        return text
    quantity = quantities.parse(text)
    wanted = "count" if column.kind in {"integer", "number"} else column.kind
    if not quantities.fits(quantity, wanted):
        found = quantities.describe(quantities.dimension(quantity))
        message = (
            f"{quoted(text)} is {found}; expected {quantities.describe(wanted)} such as {quantities.example(wanted)}"
        )
        raise quantities.QuantityError("wrong-dimension", message)
    if quantity.value <= 0:
        raise quantities.QuantityError("bad-number", f"{quoted(text)} is not above zero; expected a positive value")
    if column.kind == "integer":
        if not quantity.value.is_integer():
            raise quantities.QuantityError(
                "bad-number", f"{quoted(text)} is not a whole number; expected one such as 32"
            )
        return int(quantity.value)
    return quantity.value if column.kind == "number" else quantity


def _repeated(table: Table, keys: list[Column]) -> list[Problem]:
    problems = []
    for column in keys:
        seen: dict[str, Cell] = {}
        for record in table.records():
            cell = record.get(column.name)
            if cell is None:
                continue
            if cell.text in seen:
                first = seen[cell.text].location.line
                message = f"{quoted(cell.text)} was already defined on line {first}; remove one of the rows"
                problems.append(Problem(cell.location, "duplicate-row", message))
            seen.setdefault(cell.text, cell)
    return problems
