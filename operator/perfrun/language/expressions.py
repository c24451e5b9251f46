"""Cucumber expressions with the parameter types of this language, and the nearest expression to a text.

Parameters:
    ``{quantity}`` a number with a unit; ``{count}`` a whole number above zero; ``{percentile}`` such as p99;
    ``{comparator}`` such as "should stay below"; ``{subject}`` any words; and Cucumber's own ``{string}``, ``{word}``.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable, Sequence
from typing import Any

from cucumber_expressions.errors import CucumberExpressionError
from cucumber_expressions.expression import CucumberExpression
from cucumber_expressions.parameter_type import ParameterType
from cucumber_expressions.parameter_type_registry import ParameterTypeRegistry

from perfrun.language import quantities
from perfrun.language.comparators import COMPARATORS, Comparison
from perfrun.language.model import Quantity
from perfrun.language.wording import quoted

_LARGEST_COUNT = 10**12


class Expression(CucumberExpression):  # type: ignore[misc] # the library is untyped
    """A Cucumber expression whose plain characters are really taken literally.

    The library's own escaping maps positions instead of characters, so that a dot in the text matches anything and
    an escaped bracket breaks the pattern.
    """

    @staticmethod
    def escape_regex(expression: str) -> str:
        """Return plain text as a pattern that matches only it."""
        return re.escape(expression)


@functools.cache
def compiled(expression: str) -> Expression:
    """Return the compiled expression.

    Raises:
        ValueError: it is no Cucumber expression, or names an unknown parameter type.
    """
    try:
        return Expression(expression, _registry())
    except CucumberExpressionError as error:
        lines = [line for line in str(error).splitlines() if line.strip() and not line.strip().startswith("^")]
        raise ValueError(f"{expression!r} is no Cucumber expression: {' '.join(lines[-2:])}") from error


def arguments(expression: str, text: str) -> tuple[Any, ...] | None:
    """Return the typed arguments of a text that the expression matches, or None where it does not.

    Raises:
        ValueError: it matches, but an argument cannot be read; a ``QuantityError`` where that is a quantity.
    """
    pattern = compiled(expression)
    if pattern.tree_regexp.regexp.match(text) is None:
        return None
    return tuple(each.value for each in pattern.match(text) or ())


def escape(text: str) -> str:
    """Return a text as a Cucumber expression that matches exactly it."""
    return re.sub(r"([\\(){}/])", r"\\\1", text)


def nearest(text: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the known text that is most like ``text``, or an empty string where none is."""
    candidates: Sequence[str] = tuple(known)
    near = difflib.get_close_matches(text[:200], candidates, n=1, cutoff=cutoff)
    if near:
        return near[0]
    folded = {each.casefold(): each for each in candidates}
    near = difflib.get_close_matches(text[:200].casefold(), folded, n=1, cutoff=cutoff)
    return folded[near[0]] if near else ""


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]+", text):
        raise quantities.QuantityError("bad-number", f"{quoted(text)} is not a whole number; expected one such as 32")
    if not 0 < int(text[:14]) <= _LARGEST_COUNT or len(text) > len(str(_LARGEST_COUNT)):
        raise quantities.QuantityError(
            "bad-number", f"{quoted(text)} is out of range; expected a whole number from 1 to {_LARGEST_COUNT}"
        )
    return int(text)


def _percentile(text: str) -> float:
    share = float(text[1:])
    if not 0 < share < 100:  # noqa: PLR2004 -- percent
        raise quantities.QuantityError("bad-number", f"{text} is no percentile; expected one between p0 and p100")
    # Rounded, because 99.9 / 100 is 0.9990000000000001, and users see it.
    return round(share / 100, 9)


def _comparator(text: str) -> Comparison:
    return COMPARATORS[text]


@functools.cache
def _registry() -> ParameterTypeRegistry:
    registry = ParameterTypeRegistry()
    longest_first = sorted(COMPARATORS, key=len, reverse=True)
    for name, pattern, kind, read in (
        ("quantity", r".+", Quantity, quantities.parse),
        ("count", r"\S+", int, _count),
        ("percentile", r"[pP][0-9]{1,3}(?:\.[0-9]{1,9})?", float, _percentile),
        ("comparator", "|".join(longest_first), Comparison, _comparator),
        ("subject", r".+?", str, str),
        ("rest", r".+", str, str),
    ):
        registry.define_parameter_type(ParameterType(name, pattern, kind, read))
    return registry
