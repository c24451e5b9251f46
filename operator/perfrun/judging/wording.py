"""How verdicts are put into words: every message names the number, and the same number reads the same everywhere.

A message is a head ("p99 latency 12.4 ms > 10 ms") and, in parentheses, its details. Places with little room (a
printer column) show the head alone, so the boundary between the two is defined here and nowhere else.
"""

from __future__ import annotations

import math
from typing import Final

from perfrun.api.plan import Comparator

DETAIL: Final = " ("
"""What separates the head of a message from its details."""

SYMBOLS: Final[dict[Comparator, str]] = {"<": "<", "<=": "≤", ">": ">", ">=": "≥"}
"""Comparators as people read them."""

_DIGITS: Final = 3
_LARGE: Final = 1e6
_SMALL: Final = 1e-4
_NAME_LIMIT: Final = 48
_ROW_CELLS: Final = 3


def number(value: float) -> str:
    """Return a number with three significant digits, without exponent where people would not expect one."""
    if math.isinf(value):
        return "infinity" if value > 0 else "-infinity"
    if math.isnan(value):
        return "not a number"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= _LARGE or size < _SMALL:
        return f"{value:.{_DIGITS}g}"
    decimals = max(0, _DIGITS - 1 - math.floor(math.log10(size)))
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def limit_number(value: float) -> str:
    """Return a limit as exactly as it was written: limits are chosen by people and are not rounded."""
    return f"{value:.12g}"


def quantity(value: float, unit: str) -> str:
    """Return a number with its unit, such as ``12.4 ms``; a bare number has none."""
    return f"{number(value)} {unit}".rstrip()


def distinct(value: float, limit: float, unit: str) -> tuple[str, str]:
    """Return a finite value and a limit as text that differs where the numbers do, with the digits that it takes."""
    shown, bound = number(value), limit_number(limit)
    if value != limit and float(shown) == float(bound):
        shown = f"{value:.6g}" if float(f"{value:.6g}") != float(bound) else f"{value:.17g}"
    return f"{shown} {unit}".rstrip(), f"{bound} {unit}".rstrip()


def relation(value: float, comparator: Comparator, limit: float) -> str:
    """Return the sign that is true between value and limit: the promised one, or the one that breaks it."""
    if satisfies(value, comparator, limit):
        return SYMBOLS[comparator]
    if value == limit:
        return "="
    return ">" if value > limit else "<"


def satisfies(value: float, comparator: Comparator, limit: float) -> bool:
    """Whether ``value comparator limit`` holds."""
    match comparator:
        case "<":
            return value < limit
        case "<=":
            return value <= limit
        case ">":
            return value > limit
        case ">=":
            return value >= limit


def interval(lower: float, upper: float, unit: str, confidence: float) -> str:
    """Return the interval in words, such as ``99 % interval 12.1 to 12.9 ms``."""
    return f"{number(confidence * 100)} % interval {number(lower)} to {number(upper)} {unit}".rstrip()


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, such as ``1 sample`` or ``3 samples``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def head(message: str) -> str:
    """Return the head of a message, without the details in parentheses at its end."""
    if not message.endswith(")"):
        return message
    depth = 0
    for at in range(len(message) - 1, 0, -1):
        depth += {")": 1, "(": -1}.get(message[at], 0)
        if depth == 0:
            return message[:at].rstrip()
    return message


def short_name(name: str) -> str:
    """Return a scenario's name for places with little room: the first cells of an outline's row, or the name cut."""
    _, _, row = name.partition(DETAIL)
    cells = row.removesuffix(")").split(" | ")
    if row and name.endswith(")") and len(cells) > 1:
        kept = " | ".join(cells[:_ROW_CELLS])
        return f"{kept} …" if len(cells) > _ROW_CELLS else kept
    return name if len(name) <= _NAME_LIMIT else name[: _NAME_LIMIT - 1].rstrip() + "…"
