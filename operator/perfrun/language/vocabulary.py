"""What capabilities contribute to the language: phrases for context and action, subjects for claims.

A phrase is a Cucumber expression. A claim is composed: subject × comparator × quantity, so a capability names
its subjects once and every comparator works with them. Phrases that do not compose ("no requests should be
dropped during failover") are phrases with the role ``outcome`` that give a claim themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from perfrun.language.model import Meaning, Problem, Role, Scenario, Table


@attrs.frozen
class Column:
    """One column of a step's table.

    ``kind`` says how cells are read: ``text``, ``integer``, ``number``, or a dimension such as ``time`` or
    ``rate`` for quantities. ``choices`` bounds a text column, where not empty.
    """

    name: str
    kind: str = "text"
    choices: tuple[str, ...] = ()
    required: bool = True


@attrs.frozen
class Phrase:
    """A step that does not compose.

    ``expression`` is a Cucumber expression; ``build`` gets its typed arguments (and the table, where ``columns``
    is not empty, as keyword ``rows``: a tuple of mappings from column to typed value) and returns the meaning.
    """

    expression: str
    role: Role
    build: Callable[..., Meaning]
    columns: tuple[Column, ...] = ()
    example: str = ""


@attrs.frozen
class Subject:
    """Something that a claim can be about.

    ``words`` are the ways to say it (Cucumber expressions; the first is the canonical one). ``dimension`` is that
    of its limit: ``time``, ``tokens/time``, ``bytes``, ``bits/time``, ``percent``, ``count`` ... ``relative_to``
    is the phrase that must follow the quantity ("of normal"), or empty. ``unit`` is the unit of values in status.
    """

    key: str
    words: tuple[str, ...]
    dimension: str
    unit: str
    relative_to: str = ""


@attrs.frozen
class Vocabulary:
    """What one capability contributes.

    ``check`` finds what is wrong with a whole scenario beyond single steps: a model size that no table defines,
    more failures than nodes.
    """

    capability: str
    phrases: tuple[Phrase, ...] = ()
    subjects: tuple[Subject, ...] = ()
    check: Callable[[Scenario], tuple[Problem, ...]] = lambda _scenario: ()


def meaning(capability: str, key: str, **values: Any) -> Meaning:
    """Return the meaning of a context or action step."""
    return Meaning(capability=capability, key=key, values=_frozen(values))


def _frozen(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return dict(values)


__all__ = ["Column", "Phrase", "Subject", "Table", "Vocabulary", "meaning"]
