"""How what generators handed in becomes values for claims of load."""

from __future__ import annotations

from perfrun.api.plan import Claim
from perfrun.capabilities.base import Evidence, Measured, NotMeasured


def measure(claim: Claim, evidence: Evidence, confidence: float) -> Measured | NotMeasured:  # noqa: ARG001 -- not yet
    """Return that this version plans such claims and cannot measure them yet."""
    return NotMeasured(reason="NotImplemented", message=f"this version of perfrun cannot measure {claim.subject} yet")
