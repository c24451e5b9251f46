"""Requests that were dropped during failover, held against what the servers themselves logged.

A request is dropped where it got no good answer by its deadline, after the stated retries; one that could not even be
sent because every connection waited for a server is dropped as well. A single drop breaks "no requests should be
dropped". None among n is no zero, but a bound: the claim is kept where that bound is as low as the target asks.
"""

from __future__ import annotations

from typing import Final

import attrs

from perfrun.api.base import JSON
from perfrun.api.plan import Claim
from perfrun.api.run import TimeWindow
from perfrun.capabilities.base import Evidence, Measured, NotMeasured
from perfrun.capabilities.books import Books, job
from perfrun.capabilities.evidence import moment
from perfrun.capabilities.failing import Failing
from perfrun.measuring.histograms import HistogramError
from perfrun.measuring.ledger import reconcile, share
from perfrun.measuring.percentiles import samples_needed
from perfrun.measuring.timeline import Timeline

_NEAR_DEADLINE: Final = 0.99
"""Share of the deadline above which a first attempt's time stands for one without a good answer."""

_SEGMENTS: Final = (1, 2)


@attrs.frozen
class _Drops:
    """``certain`` drops, and requests that ``may`` have been dropped before the fault, or for the generator's sake."""

    certain: int
    may: int
    before: int
    during: int
    after: int


def measure_drops(
    claim: Claim, evidence: Evidence, books: Books, fault: Failing, confidence: float
) -> Measured | NotMeasured:  # fmt: skip
    """Return how many requests were dropped during failover."""
    run, deadline = fault.run, float(claim.parameters["deadline"])
    drops = _drops(run, fault, deadline, books)
    # Requests of the fault alone count as evidence; those of the return are held to the same promise.
    judged = sum(window.due for window in run.between(fault.begins, fault.ends).windows)
    window = TimeWindow(start=moment(fault.begins), end=moment(_end(run)))
    facts = books.facts() | fault.facts | _facts(books, drops, deadline) | {"requests_during_fault": judged}
    held = _held_against_logs(evidence, books)
    facts |= held.facts
    value = float(drops.certain)
    if drops.certain or drops.may:
        note = ", ".join(each for each in (_told(drops), held.note) if each)
        return Measured(
            value=value, lower=value, upper=value + drops.may, samples=judged, effective_samples=float(judged),
            window=window, source=job(evidence), facts=facts, note=note,
        )  # fmt: skip

    def nothing(reason: str, message: str) -> NotMeasured:
        return NotMeasured(reason=reason, message=message, source=job(evidence), window=window, facts=facts)

    if held.problem:
        return nothing("LedgerDisagrees", held.problem)
    resolution = float(claim.parameters["drop_resolution"])
    bound = share(0, judged, confidence).upper if judged else 1.0
    if bound > resolution:
        needed = samples_needed(1 - resolution, confidence)
        return nothing(
            "NotEnoughRequests",
            f"none of {judged} requests was dropped, which shows at {confidence * 100:g} % confidence only that fewer "
            f"than 1 in {_one_in(bound)} are; 1 in {_one_in(resolution)} takes {needed}",
        )
    note = f"none of {judged} during the fault: fewer than 1 in {_one_in(bound)} at {confidence * 100:g} % confidence"
    return Measured(
        value=0.0, lower=0.0, upper=0.0, samples=judged, effective_samples=float(judged), window=window,
        source=job(evidence), facts=facts | {"share_at_most": bound},
        note=", ".join(each for each in (note, held.note) if each),
    )  # fmt: skip


def _drops(run: Timeline, fault: Failing, deadline: float, books: Books) -> _Drops:
    """Count drops by when requests were due.

    One that was due up to a deadline before the fault, and timed out, was unanswered when it began; one that ended
    in an error may have ended before. Requests that the generators themselves failed to send may have been anything.
    """
    first = max(0, int((fault.begins - run.start) / run.seconds + 1e-9))
    edge = max(0, int((fault.begins - deadline - run.start) / run.seconds + 1e-9))
    last = max(first, round((fault.ends - run.start) / run.seconds))
    windows = run.windows
    unsent = sum(window.never_sent for window in windows[first:])
    sure = unsent if books.unsent == 0 else 0
    lost = [window.error + window.timeout + (window.never_sent if sure else 0) for window in windows]
    early = windows[edge:first]
    return _Drops(
        certain=sum(lost[first:]) + sum(window.timeout for window in early),
        may=sum(window.error for window in early) + unsent - sure,
        before=sum(lost[:edge]),
        during=sum(lost[first:last]),
        after=sum(lost[last:]),
    )


def _facts(books: Books, drops: _Drops, deadline: float) -> dict[str, JSON]:
    try:
        first = sum(books.histogram(f"first_latency.{each}").over(_NEAR_DEADLINE * deadline) for each in _SEGMENTS)
    except HistogramError:
        first = None
    return {
        "dropped_during_fault": drops.during,
        "dropped_after_fault": drops.after,
        "dropped_before_fault": drops.before,
        "first_attempts_failed": first,
        "retries": int(books.scalar("attempts.retries")),
        "retries_refused": int(books.scalar("attempts.retries_refused")),
        "never_sent_while_connections_were_held": books.held,
    }


@attrs.frozen
class _Held:
    """What the servers' logs say: a problem where they contradict the books, else something to note."""

    problem: str = ""
    note: str = ""
    facts: dict[str, JSON] = attrs.field(factory=dict)


def _held_against_logs(evidence: Evidence, books: Books) -> _Held:
    ids = evidence.ids
    if ids is None:
        return _Held(note="the servers' logs were not asked", facts={"logged": None})
    if not ids.ids and not ids.gaps and books.ledger.ok:
        return _Held(problem=f"{books.ledger.ok} requests were answered, and the servers logged none of them")
    prefix = next((each.rsplit("-", 3)[0] for each in ids.ids), "")
    unanswered = [f"{prefix}-{shard}-{number}" for shard, number in books.unanswered()]
    found = reconcile(books.ledger.ok, unanswered, ids.ids)
    facts: dict[str, JSON] = {
        "logged": len(ids.ids), "answered_but_not_logged": found.unseen, "logged_but_not_answered": found.extra,
        "logged_more_than_once": found.repeated, "log_gaps": list(ids.gaps),
    }  # fmt: skip
    if found.foreign:
        message = f"the servers logged {found.foreign} more good answers than the generators got"
        return _Held(problem=message, facts=facts)
    if found.unseen and not ids.gaps:
        message = f"{found.unseen} of {books.ledger.ok} answered requests are in no server's log"
        return _Held(problem=message, facts=facts)
    notes = []
    if found.unseen:
        notes.append(f"{found.unseen} answers are not in the logs that could be read")
    if found.extra:
        notes.append(f"servers logged good answers to {found.extra} of the unanswered")
    return _Held(note=", ".join(notes), facts=facts)


def _told(drops: _Drops) -> str:
    return f"{drops.during} during the fault, {drops.after} after it"


def _one_in(chance: float) -> int:
    return round(1 / chance)


def _end(run: Timeline) -> float:
    return run.start + len(run.windows) * run.seconds
