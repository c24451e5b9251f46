"""What capabilities contribute to the language: phrases for context and action, subjects for claims.

A phrase is a Cucumber expression. A claim is composed: subject × comparator × quantity, so a capability names
its subjects once and every comparator works with them. Phrases that do not compose ("no requests should be
dropped during failover") are phrases with the role ``outcome`` that give a claim themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import attrs

from perfrun.language.model import Meaning, Problem, Quantity, Role, Scenario, Step, Table

Change = Literal["", "increase", "decrease"]
Comparator = Literal["<", "<=", ">", ">="]


@attrs.frozen
class Column:
    """One column of a step's table.

    ``kind`` says how cells are read: ``text``, ``integer``, ``number``, or a dimension such as ``time`` for
    quantities. ``choices`` bounds a text column, where not empty; ``key`` says that no two rows may share a value.
    """

    name: str
    kind: str = "text"
    choices: tuple[str, ...] = ()
    required: bool = True
    key: bool = False


@attrs.frozen
class Phrase:
    """A step that does not compose.

    ``expression`` is a Cucumber expression over the parameter types of ``perfrun.language.expressions``; ``build``
    gets its typed arguments (and the table, where ``columns`` is not empty, as keyword ``rows``: a tuple of mappings
    from column to typed value) and returns the meaning. ``dimensions`` are those of the expression's quantities, in
    order. A ``neutral`` phrase sets the scene without saying anything that a capability must act on, so that it may
    stand in any scenario. ``example`` is a step that it matches.

    ``build`` raises ``ValueError`` with a sentence for arguments that it cannot take.
    """

    expression: str
    role: Role
    build: Callable[..., Meaning]
    columns: tuple[Column, ...] = ()
    dimensions: tuple[str, ...] = ()
    neutral: bool = False
    example: str = ""


@attrs.frozen
class Subject:
    """Something that a claim can be about.

    ``words`` are the ways to say it (Cucumber expressions; the first is the canonical one). ``dimension`` is that
    of its limit: ``time``, ``tokens/time``, ``bytes``, ``bits/time``, ``percent``, ``count`` ... ``relative_to``
    is the phrase that must follow the quantity ("of normal"), or empty. ``unit`` is the unit of values in status.

    ``change`` makes the claim one about a difference ("should decrease by at least"). ``parameters`` name the
    arguments of ``words`` in ``Meaning.values`` (or in a mapping there named ``gather``), beside the fixed ``values``.
    ``largest`` is the largest value that can occur, in ``unit``: a limit beyond it could never be missed or met.
    ``signed`` allows negative limits.
    """

    key: str
    words: tuple[str, ...]
    dimension: str
    unit: str
    relative_to: str = ""
    change: Change = ""
    parameters: tuple[str, ...] = ()
    values: tuple[tuple[str, Any], ...] = ()
    largest: float | None = None
    signed: bool = False
    gather: str = ""
    example: str = ""


@attrs.frozen
class Vocabulary:
    """What one capability contributes.

    ``check`` finds what is wrong with a whole scenario beyond single steps: a model size that no table defines,
    more failures than nodes. ``companion`` capabilities (named metrics) join scenarios of any other.
    """

    capability: str
    phrases: tuple[Phrase, ...] = ()
    subjects: tuple[Subject, ...] = ()
    check: Callable[[Scenario], tuple[Problem, ...]] = lambda _scenario: ()
    companion: bool = False
    title: str = ""


def meaning(capability: str, key: str, **values: Any) -> Meaning:
    """Return the meaning of a context or action step."""
    return Meaning(capability=capability, key=key, values=values)


def claim(capability: str, key: str, comparator: Comparator, limit: Quantity, label: str, **values: Any) -> Meaning:
    """Return the meaning of an outcome that does not compose."""
    return Meaning(
        capability=capability, key=key, values=values, comparator=comparator, limit=limit, label=label
    )  # fmt: skip


def steps_of(scenario: Scenario, key: str) -> tuple[Step, ...]:
    """Return the steps of a scenario with this meaning, in order."""
    return tuple(step for step in scenario.steps if step.meaning is not None and step.meaning.key == key)


__all__ = ["Change", "Column", "Comparator", "Phrase", "Subject", "Table", "Vocabulary", "claim", "meaning", "steps_of"]
