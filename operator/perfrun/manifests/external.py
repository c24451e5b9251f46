"""Faults that other tools carry out: what they are asked to do, and how far they have come."""

from __future__ import annotations

from typing import Literal

import attrs


@attrs.frozen
class ExternalState:
    """How far another tool has come with a fault: its phase, and a sentence."""

    phase: Literal["Pending", "Injected", "Recovered", "Failed"]
    message: str = ""
