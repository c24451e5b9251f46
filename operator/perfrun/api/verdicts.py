"""The four verdicts and their order: the vocabulary in which everything in perfrun concludes."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    """What can be said of a step, a scenario or a run."""

    PASS = "Pass"  # noqa: S105 -- the word for success, not a password
    FAIL = "Fail"
    INCONCLUSIVE = "Inconclusive"
    ERROR = "Error"
    SKIPPED = "Skipped"


_WORST_FIRST = (Verdict.FAIL, Verdict.ERROR, Verdict.INCONCLUSIVE, Verdict.PASS)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst verdict: Fail > Error > Inconclusive > Pass.

    Skipped never outweighs another verdict; nothing, or nothing but Skipped, is Inconclusive, for the absence
    of evidence is never a pass.
    """
    seen = set(verdicts)
    return next((each for each in _WORST_FIRST if each in seen), Verdict.INCONCLUSIVE)
