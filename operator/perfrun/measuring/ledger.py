"""The books of a load: every scheduled request is accounted for, or nothing may be concluded from the rest.

A request that nobody counts is how losses hide. So a ledger that does not close is refused, ledgers of shards add up,
they are held against the request ids that the servers logged, and "none of n" is an upper bound, never zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import attrs

from perfrun.measuring.distributions import mass

_ACHIEVED_AT_LEAST: Final = 0.99
_LATENESS_SHARE: Final = 0.05
_HALVINGS: Final = 200


class LedgerError(ValueError):
    """A ledger does not close, or ledgers do not belong together; the message has the numbers."""


@attrs.frozen
class Ledger:
    """How each of ``scheduled`` requests ended, after the stated retries; in_flight is what a stop left open."""

    scheduled: int
    ok: int
    error: int
    timeout: int
    never_sent: int
    in_flight: int

    def __attrs_post_init__(self) -> None:
        """Refuse books that do not balance.

        Raises:
            LedgerError: a count is negative, or the sum is not what was scheduled.
        """
        parts = (self.ok, self.error, self.timeout, self.never_sent, self.in_flight)
        if min(parts) < 0 or sum(parts) != self.scheduled:
            msg = (
                f"the ledger does not close: {self.scheduled} scheduled, but {self.ok} ok + {self.error} error + "
                f"{self.timeout} timeout + {self.never_sent} never sent + {self.in_flight} in flight = {sum(parts)}"
            )
            raise LedgerError(msg)

    @property
    def sent(self) -> int:
        """Return how many requests were really sent."""
        return self.scheduled - self.never_sent

    @property
    def dropped(self) -> int:
        """Return how many of those that were sent got no good answer by their deadline, after all retries."""
        return self.error + self.timeout

    @property
    def judged(self) -> int:
        """Return how many came to an end that says something about the server."""
        return self.ok + self.dropped


def merge(ledgers: Sequence[Ledger]) -> Ledger:
    """Return the ledger of all shards together; the sum closes because each part does."""
    return Ledger(
        scheduled=sum(each.scheduled for each in ledgers), ok=sum(each.ok for each in ledgers),
        error=sum(each.error for each in ledgers), timeout=sum(each.timeout for each in ledgers),
        never_sent=sum(each.never_sent for each in ledgers), in_flight=sum(each.in_flight for each in ledgers),
    )  # fmt: skip


@attrs.frozen
class Share:
    """A share of n with its one-sided bounds, each at the stated confidence."""

    count: int
    of: int
    lower: float
    upper: float

    @property
    def value(self) -> float:
        """Return the observed share."""
        return self.count / self.of


def share(count: int, of: int, confidence: float) -> Share:
    """Return a share with exact bounds (Clopper and Pearson, 1934); "0 of n" has the upper bound 1 − (1−c)^(1/n).

    Raises:
        ValueError: there is nothing to take a share of.
    """
    if not 0 <= count <= of or of == 0:
        msg = f"{count} of {of} is no share"
        raise ValueError(msg)
    error = round(1.0 - confidence, 15)
    upper = 1.0 if count == of else _solve(lambda chance: _at_most(of, chance, count) > error)
    lower = 0.0 if count == 0 else _solve(lambda chance: _at_most(of, 1.0 - chance, of - count) <= error)
    return Share(count, of, lower, upper)


def dropped(ledger: Ledger, confidence: float) -> Share | None:
    """Return the share of dropped requests, or None where no request came to an end."""
    return share(ledger.dropped, ledger.judged, confidence) if ledger.judged else None


def _solve(holds: Callable[[float], bool]) -> float:
    """Return the chance at which a predicate that holds below it ceases to hold."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if holds(middle) else (low, middle)
    return high


def _at_most(trials: int, chance: float, successes: int) -> float:
    """Return P(Binomial(trials, chance) ≤ successes), summed from the shorter end."""
    if chance <= 0.0:
        return 1.0
    if chance >= 1.0:
        return 1.0 if successes >= trials else 0.0
    if successes > trials * chance:
        return 1.0 - _at_most_directly(trials, 1.0 - chance, trials - successes - 1)
    return _at_most_directly(trials, chance, successes)


def _at_most_directly(trials: int, chance: float, successes: int) -> float:
    if successes < 0:
        return 0.0
    term = total = mass(trials, chance, successes)
    odds = (1.0 - chance) / chance
    # Downwards from the largest term: each is the one before times j/(n−j+1) · (1−p)/p.
    for at in range(successes, 0, -1):
        term *= at / (trials - at + 1) * odds
        total += term
        if term < total * 1e-17:
            break
    return min(1.0, total)


@attrs.frozen
class Verdict:
    """Whether a generator kept to its schedule; ``rate`` is what it really offered, in requests per second."""

    saturated: bool
    rate: float
    achieved: float
    lateness_p99: float
    message: str = ""


def generator_verdict(
    offered: float, achieved: float, lateness_p99: float, limit: float | None, window: float | None = None
) -> Verdict:
    """Judge the generator itself, so that its own slowness is never taken for the server's.

    ``offered`` and ``achieved`` are in requests per second, of all shards together. ``lateness_p99`` and ``limit``
    (the latency limit that is judged, or None) are in seconds. Below 99 % of the rate, or later than 5 % of the
    limit, the load was not the one that was asked for. ``window`` is the resolution in seconds of a timeline that is
    judged: what is later than that shows in it.
    """
    reached = achieved / offered if offered > 0 else 1.0
    problems = []
    if reached < _ACHIEVED_AT_LEAST:
        problems.append(f"{reached:.1%} of {offered:.0f}/s went out, less than 99 %")
    if limit is not None and lateness_p99 > _LATENESS_SHARE * limit:
        problems.append(
            f"its lateness p99 was {_milliseconds(lateness_p99)}, more than 5 % of the limit of {_milliseconds(limit)}"
        )
    if window is not None and lateness_p99 > window:
        problems.append(
            f"its lateness p99 was {_milliseconds(lateness_p99)}, more than the "
            f"{_milliseconds(window)} that are resolved"
        )
    message = f"generator saturated at {achieved:.0f}/s: {' and '.join(problems)}" if problems else ""
    return Verdict(bool(problems), achieved, reached, lateness_p99, message)


def _milliseconds(length: float) -> str:
    return f"{length * 1e3:.3g} ms" if length < 1 else f"{length * 1e3:.0f} ms"


@attrs.frozen
class Reconciliation:
    """What the generator's books and the servers' logs say of the same requests.

    ``unseen``: answered well by the generator's account, but no server logged them. ``extra``: logged as answered
    well, yet not so by the generator's account (the answer was lost, or came too late). ``repeated``: attempts that
    were logged more than once (something between sent them again). ``foreign``: more ids than there were requests.
    """

    matched: int
    unseen: int
    extra: int
    repeated: int
    foreign: int = 0

    @property
    def agrees(self) -> bool:
        """Return whether no good answer is without its server."""
        return self.unseen == self.foreign == 0


def reconcile(ok: int, unanswered: Iterable[str], logged: Iterable[str]) -> Reconciliation:
    """Hold the generator's requests against the servers' logs.

    ``ok`` requests were answered well, and those with the ids ``unanswered`` (run-shard-n) were not: that is all of
    them. ``logged`` are the X-Request-Id of the good answers that the servers logged, with the attempt
    (run-shard-n-attempt), of this run only.
    """
    missed = frozenset(unanswered)
    lines = Counter(logged)
    seen = {line.rpartition("-")[0] for line in lines}
    good = len(seen - missed)
    return Reconciliation(
        matched=min(ok, good), unseen=max(0, ok - good), extra=len(seen & missed),
        repeated=sum(lines.values()) - len(lines), foreign=max(0, good - ok),
    )  # fmt: skip
