"""How any part of the agent says no before anything was done to the node."""

from __future__ import annotations


class RefusedError(Exception):
    """The order is not carried out, and nothing was done; ``reason`` is one CamelCase word, the message a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class LeftError(Exception):
    """Something may be left on the node; ``reason`` is one CamelCase word, the message a sentence that says what."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
