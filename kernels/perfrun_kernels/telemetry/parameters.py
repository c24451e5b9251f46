"""What the telemetry program can be asked, checked before the server is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, cast

import attrs

from perfrun_kernels.arguments import Arguments

Choice = Literal["auto", "recorded", "observed"]
Per = Literal["node", "gpuNode", "pod", "any"]
_CHOICES: Final = ("auto", "recorded", "observed")
_PER: Final = ("node", "gpuNode", "pod", "any")
_MOST_SECONDS: Final = 10 * 366 * 86_400.0
_ALWAYS: Final = 0.0


@attrs.frozen
class Row:
    """One type of metric: the selectors of its series, who should have one, and what is stated of it."""

    key: str
    name: str
    series: tuple[str, ...]
    per: Per
    label: str
    interval_s: float
    retention_s: float


@attrs.frozen
class Owner:
    """A node or pod that should have a series from ``since`` (seconds since the epoch) on.

    ``addresses`` are what a series may call it instead of its name.
    """

    name: str
    since: float = _ALWAYS
    addresses: tuple[str, ...] = ()
    gpus: int = 0


@attrs.frozen
class Expected:
    """All nodes of the cluster, and the pods of the target's Service."""

    nodes: tuple[Owner, ...]
    pods: tuple[Owner, ...]

    def of(self, per: Per) -> tuple[Owner, ...]:
        """Return who should have a series of a row."""
        match per:
            case "node":
                return self.nodes
            case "gpuNode":
                return tuple(each for each in self.nodes if each.gpus)
            case "pod":
                return self.pods
            case "any":
                return ()


@attrs.frozen
class Parameters:
    """What to judge; without ``expected``, what the server's own targets are is what should be there."""

    url: str
    timeout_s: float
    period_s: float
    window: Choice
    completeness: float
    rows: tuple[Row, ...]
    expected: Expected | None


def parse(data: Mapping[str, Any]) -> Parameters:
    """Read the program's parameters.

    ``prometheus``: {``url``, ``timeout_s``}; ``period_s``; ``window``: auto, recorded or observed; ``completeness``;
    ``rows``: a list of {``key``, ``name``, ``series`` (selectors), ``per``, ``label``, ``interval_s``,
    ``retention_s``}; ``expected``: {``nodes``: [{``name``, ``since``, ``gpus``, ``addresses``}], ``pods``: [{``name``,
    ``node``, ``since``, ``addresses``}]}, or nothing.

    Raises:
        ParametersError: something is missing, unknown or out of bounds; the message names all of it.
    """
    arguments = Arguments(data)
    server = arguments.child("prometheus")
    rows = tuple(_row(each) for each in arguments.items("rows"))
    if not rows:
        arguments.complain("rows", [], "at least one row")
    if len({each.key for each in rows}) < len(rows):
        arguments.complain("rows", [each.key for each in rows], "each key once")
    found = Parameters(
        _needed(server, "url", "the URL of a Prometheus-compatible server"),
        server.number("timeout_s", 30.0, above=0, most=3600),
        arguments.number("period_s", above=0, most=_MOST_SECONDS),
        cast("Choice", arguments.choice("window", "auto", _CHOICES)),
        arguments.number("completeness", 0.99, above=0, most=1),
        rows,
        _expected(arguments.child("expected")) if arguments.has("expected") else None,
    )
    arguments.finish()
    return found


def _row(given: Arguments) -> Row:
    series = given.texts("series")
    if not series:
        given.complain("series", [], "at least one selector")
    return Row(
        _needed(given, "key", "a word that names the row"), _needed(given, "name", "the type of metric"), series,
        cast("Per", given.choice("per", "any", _PER)), given.text("label") or "",
        given.number("interval_s", above=0, most=_MOST_SECONDS),
        given.number("retention_s", 0.0, least=0, most=_MOST_SECONDS),
    )  # fmt: skip


def _expected(given: Arguments) -> Expected:
    return Expected(
        tuple(_owner(each, each.integer("gpus", 0, least=0)) for each in given.items("nodes")),
        tuple(_pod(each) for each in given.items("pods")),
    )


def _pod(given: Arguments) -> Owner:
    given.text("node")
    return _owner(given)


def _owner(given: Arguments, gpus: int = 0) -> Owner:
    name, since = _needed(given, "name", "a name"), given.number("since", _ALWAYS, least=0)
    return Owner(name, since, given.texts("addresses"), gpus)


def _needed(given: Arguments, name: str, expected: str) -> str:
    found = given.text(name)
    if found is None:
        given.complain(name, None, expected)
    return found or ""
