"""Capabilities whose words are known and whose measuring is not there yet.

A feature that uses them is accepted and its scenarios are reported as not implemented, so that nobody takes silence
for a pass.
"""

from __future__ import annotations

from typing import Final

import attrs

from perfrun.api.plan import Claim
from perfrun.api.target import TargetSpec
from perfrun.capabilities.base import Capability, Evidence, NotMeasured, Settings
from perfrun.capabilities.words import memory, optimization
from perfrun.language.model import Scenario
from perfrun.language.vocabulary import Vocabulary


@attrs.frozen
class Pending:
    """A capability that this version cannot measure."""

    name: str
    words: Vocabulary

    def vocabulary(self, target: TargetSpec | None) -> Vocabulary:  # noqa: ARG002 -- the same for every target
        """Return its words."""
        return self.words

    def plan(self, scenario: Scenario, target: TargetSpec, settings: Settings) -> None:
        """Return None: nothing can be run."""

    def measure(self, claim: Claim, evidence: Evidence, confidence: float) -> NotMeasured:  # noqa: ARG002 -- as above
        """Return that nothing can be measured."""
        return NotMeasured(reason="NotImplemented", message=f"this version of perfrun cannot measure {self.name} yet")


_WORDS: Final = (optimization, memory)

PENDING: Final[tuple[Capability, ...]] = tuple(Pending(words.NAME, words.VOCABULARY) for words in _WORDS)
"""What runs report as NotImplemented; a capability leaves this tuple when it is built."""
