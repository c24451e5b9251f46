"""What the forecast's program asks for: read, ranked, drawn and put into a result."""

from __future__ import annotations

from perfrun_kernels.arguments import Arguments
from perfrun_kernels.bottlenecks import reading, usl
from perfrun_kernels.bottlenecks.ranking import ranked
from perfrun_kernels.bottlenecks.results import facts, scalars, tables
from perfrun_kernels.bottlenecks.values import STEP_SECONDS, WINDOW_SECONDS, Ranking, Resource, Wanted
from perfrun_kernels.contract import Scalar, Table
from perfrun_kernels.pictures.bottlenecks import draw

__all__ = ["STEP_SECONDS", "WINDOW_SECONDS", "Ranking", "Resource", "Wanted", "draw", "rank", "read", "results"]


def read(arguments: Arguments) -> Wanted:
    """Read what is asked for; problems are left with ``arguments``.

    ``resources``: {name: {``utilization``, ``saturation``, ``errors``}}, ``throughput``, ``latency`` and
    ``concurrency``: queries, all of them optional but the utilisation of a named resource; ``confidence``.
    """
    given = arguments.child("resources")
    return Wanted(
        {name: _resource(given.child(name), name) for name in given.names()},
        arguments.text("throughput") or "", arguments.text("latency") or "", arguments.text("concurrency") or "",
        arguments.number("confidence", 0.99, above=0.5, below=1),
    )  # fmt: skip


def _resource(given: Arguments, name: str) -> Resource:
    use = given.text("utilization")
    if use is None:
        given.complain("utilization", use, f"a query of the use of {name}")
    return Resource(use or "", given.text("saturation"), given.text("errors"))


def rank(server: reading.Reads, wanted: Wanted, start: float, end: float, step: float = STEP_SECONDS) -> Ranking:
    """Return which resource saturates first, and how throughput scales, by the history from ``start`` to ``end``.

    What the server lacks, refuses or takes too long for stands in the ranking as a reason; nothing is raised for it.
    """
    seen = reading.read(server, wanted, start, end, step)
    law = usl.fit(seen.concurrency, seen.throughput, wanted.confidence)
    return Ranking(
        start, end, step, wanted.confidence, ranked(seen, wanted.confidence), law, seen.throughput, seen.concurrency
    )


def results(ranking: Ranking) -> tuple[dict[str, Scalar], dict[str, str], dict[str, Table]]:
    """Return scalars, facts and tables of a ranking for a result."""
    return scalars(ranking), facts(ranking), tables(ranking)
