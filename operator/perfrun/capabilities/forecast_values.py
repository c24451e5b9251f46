"""From a backtest to how far off forecasts are."""

from __future__ import annotations

from perfrun.api.plan import Claim
from perfrun.capabilities.base import Evidence, NotMeasured, Outcome
from perfrun.capabilities.evidence import unmeasured


def measure(claim: Claim, evidence: Evidence) -> Outcome:
    """Return the prediction error of one row, and what else speaks against it."""
    return unmeasured(evidence) or NotMeasured("NoResult", f"{claim.label}: nothing")
