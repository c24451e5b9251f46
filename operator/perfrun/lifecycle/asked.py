"""A fault that is asked for, with all that the guards judge it by, and how they put a refusal into words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal

import attrs

from perfrun.api.chaos import Chaos
from perfrun.lifecycle.values import Missing, NodeView

Harm = Literal["nodes", "containers", "nothing"]
"""What a fault does harm to. Containers are held up for moments while their nodes stay well; nothing: it only looks."""

_MOST: Final = 5


@attrs.frozen
class Refusal:
    """Why a fault may not be: a CamelCase reason and a sentence."""

    reason: str
    message: str


@attrs.frozen
class GuardInput:
    """A fault that is asked for, what the target says of faults, and what is seen of the cluster.

    ``count`` nodes are to fail (or to be where containers are held up, or watched) of ``wanted`` that serve (0: any
    number) from ``starts_at`` to ``ends_at``. ``generators`` are the labels of nodes that generators may run on. The
    rest is as in RunObservation.
    """

    chaos: Chaos
    service: str
    count: int
    wanted: int
    starts_at: dt.datetime
    ends_at: dt.datetime
    nodes: Mapping[str, NodeView]
    serving: Mapping[str, tuple[str, ...]] | Missing
    protected: Mapping[str, str] = attrs.field(factory=dict)
    generators: Mapping[str, str] = attrs.field(factory=dict)
    foreign_faults: tuple[str, ...] = ()
    denied: str = ""
    harm: Harm = "nodes"

    @property
    def behind(self) -> tuple[str, ...]:
        """The nodes that ready endpoints of the Service are on, by name."""
        return () if isinstance(self.serving, Missing) else tuple(sorted(self.serving))

    @property
    def lasts(self) -> float:
        """How long the fault lasts, in seconds."""
        return (self.ends_at - self.starts_at).total_seconds()


Guard = Callable[[GuardInput], Refusal | None]


def counted(nodes: int) -> str:
    """Return a number of nodes in words."""
    return f"{nodes} node{'' if nodes == 1 else 's'}"


def few(names: Iterable[str]) -> str:
    """Return the first names, and how many more there are."""
    every = tuple(names)
    more = f" and {len(every) - _MOST} more" if len(every) > _MOST else ""
    return ", ".join(every[:_MOST]) + more
