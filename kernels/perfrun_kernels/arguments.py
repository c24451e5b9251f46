"""Reading a program's parameters with every problem named at once.

Parameters cross a version boundary (operator and pod may differ), so they are checked here again, and in sentences
that a feature's author sees in the verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from perfrun_kernels.faults import ParametersError

ABSENT: Final = object()


class Arguments:
    """A JSON object being read; problems gather in one list that all children share."""

    def __init__(self, data: object, place: str = "", problems: list[str] | None = None) -> None:
        self._problems: list[str] = [] if problems is None else problems
        self._place = place
        self._read: set[str] = set()
        self._children: list[Arguments] = []
        self._data: Mapping[str, Any] = {}
        if isinstance(data, Mapping):
            self._data = data
        else:
            self.complain("", data, "an object")

    def complain(self, name: str, found: object, expected: str) -> None:
        """Note a problem: what was found at ``name`` and what was expected there."""
        self._problems.append(f"{self._path(name)} is {found!r}; expected {expected}")

    def has(self, name: str) -> bool:
        """Return whether ``name`` is given and not null."""
        self._read.add(name)
        return self._data.get(name) is not None

    def integer(self, name: str, default: int | object = ABSENT, *, least: int, most: int | None = None) -> int:
        """Return a whole number within bounds; a missing one without ``default`` is a problem."""
        value = self._take(name, default)
        good = isinstance(value, int) and not isinstance(value, bool)
        if good and least <= value and (most is None or value <= most):
            return int(value)
        upper = "" if most is None else f" and at most {most}"
        self.complain(name, _shown(value), f"a whole number of at least {least}{upper}")
        return least

    def number(
        self, name: str, default: float | object = ABSENT, *,
        least: float = -math.inf, above: float = -math.inf, most: float = math.inf, below: float = math.inf,
    ) -> float:  # fmt: skip
        """Return a finite number within closed (``least``, ``most``) and open (``above``, ``below``) bounds."""
        value = self._take(name, default)
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if good and least <= value <= most and above < value < below:
            return float(value)
        bounds = (("at least", least), ("above", above), ("at most", most), ("below", below))
        words = " and ".join(f"{word} {bound:g}" for word, bound in bounds if math.isfinite(bound))
        self.complain(name, _shown(value), f"a number {words}".rstrip())
        return 1.0

    def choice(self, name: str, default: str | object, options: Sequence[str]) -> str:
        """Return one of ``options``."""
        value = self._take(name, default)
        if isinstance(value, str) and value in options:
            return value
        self.complain(name, _shown(value), f"one of {', '.join(options)}")
        return options[0]

    def text(self, name: str) -> str | None:
        """Return a text, or None where it is absent, null or empty."""
        value = self._take(name, None)
        if value is None or isinstance(value, str):
            return value or None
        self.complain(name, value, "a text")
        return None

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the texts of the list at ``name``, none of them empty; an absent one reads as empty."""
        value = self._take(name, [])
        if isinstance(value, list) and all(isinstance(each, str) and each for each in value):
            return tuple(value)
        self.complain(name, value, "a list of texts")
        return ()

    def flag(self, name: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self._take(name, default)
        if isinstance(value, bool):
            return value
        self.complain(name, value, "true or false")
        return default

    def child(self, name: str) -> Arguments:
        """Return the object at ``name``; an absent one reads as empty."""
        value = self._take(name, None)
        return self._adopt(Arguments({} if value is None else value, self._path(name), self._problems))

    def items(self, name: str) -> list[Arguments]:
        """Return the objects of the list at ``name``; an absent one reads as empty."""
        value = self._take(name, None)
        if value is None:
            return []
        if not isinstance(value, list):
            self.complain(name, value, "a list of objects")
            return []
        return [
            self._adopt(Arguments(each, f"{self._path(name)}[{index}]", self._problems))
            for index, each in enumerate(value)
        ]

    def names(self) -> list[str]:
        """Return the names that are given, where they are the caller's own; each is to be read."""
        return [str(name) for name in self._data]

    def finish(self) -> None:
        """Refuse what was wrong or never read, here and in every child.

        Raises:
            ParametersError: with all problems in one message.
        """
        self._reject_unread()
        if self._problems:
            raise ParametersError("; ".join(self._problems))

    def _reject_unread(self) -> None:
        for name in sorted(set(self._data) - self._read):
            self._problems.append(
                f"{self._path(name)} is not known; expected only {', '.join(sorted(self._read))}: remove it"
            )
        for child in self._children:
            child._reject_unread()  # noqa: SLF001 -- of this same class

    def _adopt(self, child: Arguments) -> Arguments:
        self._children.append(child)
        return child

    def _take(self, name: str, default: object) -> Any:
        self._read.add(name)
        value = self._data.get(name)
        return default if value is None else value

    def _path(self, name: str) -> str:
        return ".".join(part for part in ("parameters", self._place.removeprefix("parameters."), name) if part)


def _shown(value: object) -> object:
    return None if value is ABSENT else value
