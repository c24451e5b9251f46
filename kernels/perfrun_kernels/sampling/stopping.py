"""When to stop measuring: at a look that was fixed beforehand, when enough is known, or when the time is up.

Looking whenever one likes would inflate the rate of false verdicts, so the counts are compared exactly at the
sample numbers of the rule. Whoever wrote the rule has spent its error over these looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfrun_kernels.sampling.parameters import StoppingRule

NEVER = -1


class Watch:
    """Counts steps and says when to stop.

    ``clock`` is monotonic, in seconds; ``deadline`` is a reading of it. A decided look waits for the end of the first
    round: without one whole round there is no time to the first token and no throughput.
    """

    def __init__(self, rule: StoppingRule, deadline: float, clock: Callable[[], float]) -> None:
        self._rule = rule
        self._deadline = deadline
        self._clock = clock
        self._needed = max([rule.min_samples, *(rule.looks_skip + look.samples for look in rule.looks)])
        self._pending = list(rule.looks)
        self._next = self._position()
        self._seen = 0
        self._slow = 0
        self._rounds = 0
        self._decided = ""
        self.reason = ""
        """Why it stopped: look-accepted, look-rejected, samples, rounds or budget; empty while it goes on."""

    def step(self, seconds: float) -> bool:
        """Count one decode step; return whether to stop in the middle of the round."""
        self._seen += 1
        if seconds > self._rule.limit_seconds and self._seen > self._rule.looks_skip:
            self._slow += 1
        if self._seen == self._next:
            self._look()
        if self._decided and self._rounds:
            self.reason = self._decided
        elif self._clock() >= self._deadline:
            self.reason = "budget"
        return bool(self.reason)

    def round(self) -> bool:
        """Count one whole round; return whether to stop."""
        self._rounds += 1
        if self.reason:
            return True
        if self._decided:
            self.reason = self._decided
        elif self._seen >= self._needed:
            self.reason = "samples"
        elif self._rounds >= self._rule.max_rounds:
            self.reason = "rounds"
        elif self._clock() >= self._deadline:
            self.reason = "budget"
        return bool(self.reason)

    def left(self) -> float:
        """Return the seconds left, never negative."""
        return max(0.0, self._deadline - self._clock())

    def _position(self) -> int:
        return self._rule.looks_skip + self._pending[0].samples if self._pending else NEVER

    def _look(self) -> None:
        look = self._pending.pop(0)
        if self._slow <= look.accept_at_most:
            self._decided = "look-accepted"
        elif self._slow >= look.reject_at_least:
            self._decided = "look-rejected"
        self._next = NEVER if self._decided else self._position()
