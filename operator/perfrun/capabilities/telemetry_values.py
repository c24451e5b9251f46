"""From what a pod found in the metrics store to how often each type of metric was really recorded."""

from __future__ import annotations

from perfrun.api.plan import Claim
from perfrun.capabilities.base import Evidence, NotMeasured, Outcome
from perfrun.capabilities.evidence import unmeasured


def measure(claim: Claim, evidence: Evidence) -> Outcome:
    """Return the observed interval of one row's worst series, and what else speaks against it."""
    return unmeasured(evidence) or NotMeasured("NoResult", f"{claim.label}: nothing")
