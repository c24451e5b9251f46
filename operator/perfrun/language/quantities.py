"""Quantities as people write them: a number and a unit, in words or signs.

Every unit's size and dimension is pint's (see ``units``); this module reads the number, finds the unit, and says in
one sentence what is wrong where that fails.
"""

from __future__ import annotations

import difflib
import functools
import math
import re

from perfrun.language import units
from perfrun.language.model import Quantity
from perfrun.language.unit_table import USUAL
from perfrun.language.wording import quoted

_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?(?![0-9.,_])")
_NOT_FINITE = re.compile(r"[-+]?(?:nan|inf(?:inity)?)\b", re.IGNORECASE)
_UNIT = re.compile(r"(?:[A-Za-zµ]+|1)?(?: ?/ ?| per )[A-Za-zµ]+|[A-Za-zµ]+|%|")
_RATIOS = frozenset({"percent", "ratio", "count"})
_EXAMPLES = {
    "time": "10 ms", "bytes": "8 GB", "bits/time": "10 Gbps", "tokens/time": "1000 tokens per second",
    "requests/time": "100 requests per second", "1/time": "5 per second", "percent": "10%", "count": "10",
    "ratio": "2x", "cores": "2 cores",
}  # fmt: skip
_NAMES = {
    "time": "a length of time", "bytes": "an amount of memory", "bits/time": "a data rate",
    "tokens/time": "tokens per time", "requests/time": "requests per time", "1/time": "a rate",
    "percent": "a percentage", "count": "a bare number", "ratio": "a ratio",
}  # fmt: skip
UNIT_LENGTH = 40
"""Longest unit that is looked at, characters."""


class QuantityError(ValueError):
    """A text is no quantity; ``rule`` says in which way and ``hint`` is a unit that may have been meant."""

    def __init__(self, rule: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.rule = rule
        self.hint = hint


def parse(text: str) -> Quantity:
    """Read a quantity such as ``10 milliseconds``, ``8GB``, ``0.1%``, ``10x`` or ``1000 tokens per second``.

    Raises:
        QuantityError: it has no number, or one that is not finite, or a unit that is not known.
    """
    text = text.strip()
    if _NOT_FINITE.match(text):
        raise QuantityError("bad-quantity", f"{quoted(text)} is not a finite number; expected one such as 10 ms")
    found = _NUMBER.match(text)
    if found is None:
        raise QuantityError(
            "bad-quantity",
            f"{quoted(text)} is not a quantity; expected a number with a unit, such as 10 ms, 8 GB or 10% "
            "(a point for decimals, nothing between thousands)",
        )
    value = float(found.group())
    if not math.isfinite(value):
        raise QuantityError("bad-quantity", f"{quoted(found.group())} is too large for a number; expected a finite one")
    return Quantity(value=value, unit=canonical(text[found.end() :].strip()))


def canonical(unit: str) -> str:
    """Return the spelling of a unit that is used in status: ``milliseconds`` → ``ms``.

    Raises:
        QuantityError: the unit is not known.
    """
    return _lookup(unit)[0]


def dimension(quantity: Quantity | str) -> str:
    """Return the dimension of a quantity or unit: ``time``, ``bytes``, ``bits/time``, ``percent``, ``count`` ...

    Raises:
        QuantityError: the unit is not known.
    """
    return _lookup(quantity if isinstance(quantity, str) else quantity.unit)[1]


def fits(quantity: Quantity, wanted: str) -> bool:
    """Return whether a quantity can be a limit of the dimension.

    A ratio may be stated as 0.5, 0.5x or 50%; a rate as anything counted per time.
    """
    found = dimension(quantity)
    if wanted == "ratio":
        return found in _RATIOS
    return found == wanted or (wanted == "1/time" and found in {"requests/time", "tokens/time", "packets/time"})


def convert(quantity: Quantity, unit: str) -> float:
    """Return the value of a quantity in another unit.

    Raises:
        QuantityError: a unit is not known, or the two measure different things.
    """
    _, source, size = _lookup(quantity.unit)
    _, wanted, step = _lookup(unit)
    if not (fits(quantity, wanted) or {source, wanted} <= _RATIOS):
        message = f"{show(quantity)} cannot be expressed in {unit or 'bare numbers'}: it is {describe(source)}"
        raise QuantityError("wrong-dimension", message)
    # Scaling by the inverse keeps 10 ms → 0.01 s free of a rounding that a user would see.
    return quantity.value * size / step if size >= step else quantity.value / (step / size)


def show(quantity: Quantity) -> str:
    """Return the quantity for people: ``10 ms``, ``80%``, ``2x``."""
    gap = "" if quantity.unit in {"", "%", "x"} else " "
    return f"{quantity.value:.12g}{gap}{quantity.unit}"


def describe(name: str) -> str:
    """Return a dimension in words: ``a length of time``."""
    return _NAMES.get(name, name)


def example(name: str) -> str:
    """Return a quantity of the dimension, as a user would write it."""
    return _EXAMPLES.get(name, "10")


@functools.lru_cache(maxsize=1024)
def _lookup(unit: str) -> tuple[str, str, float]:
    if unit in USUAL:
        return USUAL[unit]
    tidy = re.sub(r" ?/ ?", "/", unit)
    if tidy in USUAL:
        return USUAL[tidy]
    if len(unit) <= UNIT_LENGTH and _UNIT.fullmatch(unit) and _every_part_known(tidy):
        try:
            name, size = units.ask_pint(units.pint_spelling(tidy))
        except KeyError:
            pass
        else:
            return tidy.replace(" per ", "/"), name, size
    hint = _nearest(unit[:UNIT_LENGTH])
    also = f"; did you mean {hint!r}?" if hint else "; expected one such as ms, s, GB, Gbps, %, or tokens per second"
    raise QuantityError("unknown-unit", f"{quoted(unit)} is not a known unit{also}", hint)


def _nearest(unit: str) -> str:
    folded = [known for known in USUAL if known.casefold() == unit.casefold()]
    near = folded or difflib.get_close_matches(unit, [known for known in USUAL if known], n=1, cutoff=0.5)
    return near[0] if near else ""


def _every_part_known(unit: str) -> bool:
    """Return whether each side of a rate is a usual unit: only then is asking pint worth its loading time."""
    return all(part in USUAL for part in re.split(r"/| per ", unit))
