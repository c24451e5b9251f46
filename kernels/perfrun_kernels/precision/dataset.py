"""Labelled texts: those of a file, or those that come with this package, and how they are divided.

One half fits the probe and the other is asked, so that no text is asked about that the probe has seen.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.precision import pretrained
from perfrun_kernels.precision.parameters import FEWEST_ITEMS

if TYPE_CHECKING:
    from collections.abc import Sequence

NOT_STATED: Final = "not stated"
_FEWEST_LABELS: Final = 2


@attrs.frozen
class Item:
    """A text with its label."""

    text: str
    label: str


@attrs.frozen
class Dataset:
    """Labelled texts, what they are called, and their licence."""

    items: Sequence[Item]
    name: str
    licence: str


def load(path: str | None) -> Dataset:
    """Return the labelled texts of ``path``, or those that come with this package.

    Raises:
        UnmeasurableError: they are not there, are malformed, or too few to compare anything.
    """
    if path is None:
        rated = pretrained.sentences()
        items = [Item(text, "positive" if rating > 0 else "negative") for rating, text in rated if rating]
        return Dataset(items, pretrained.SENTENCES, pretrained.SENTENCES_LICENCE)
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(f"parameters.dataset is {path}, which cannot be read: {error}") from error
    items = [_item(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if len(items) < FEWEST_ITEMS:
        raise _unusable(f"{path} holds {len(items)} labelled texts; expected at least {FEWEST_ITEMS}")
    if len({item.label for item in items}) < _FEWEST_LABELS:
        raise _unusable(f"all texts of {path} have the label {items[0].label!r}; expected at least two labels")
    return Dataset(items, path, NOT_STATED)


def divide(items: Sequence[Item], most: int, seed: int) -> tuple[list[Item], list[Item]]:
    """Return the texts to fit and the texts to ask, as many of both and ``most`` together, in an order drawn by seed.

    The order is by chance alone, so that the first texts to be asked stand for all of them.
    """
    drawn = random.Random(seed).sample(items, min(most, len(items)))  # noqa: S311 -- a draw, no secret
    half = len(drawn) // 2
    return drawn[:half], drawn[half : 2 * half]


def _item(line: str, place: str) -> Item:
    expected = "expected an object like {'text': '...', 'label': '...'}, its label a text or a whole number"
    try:
        data = json.loads(line)
    except ValueError as error:
        raise _unusable(f"{place}, is no JSON: {error}; {expected}") from error
    match data:
        case {"text": str(text), "label": str(label) | int(label)} if text.strip() and not isinstance(label, bool):
            return Item(text, str(label))
        case _:
            raise _unusable(f"{place}, is {line[:80]!r}; {expected}")


def _unusable(message: str) -> UnmeasurableError:
    return UnmeasurableError("DatasetUnusable", message)
