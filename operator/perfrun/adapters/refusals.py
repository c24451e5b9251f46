"""What the API server will never take, remembered so that a run ends with the server's own words.

Asked again, it would say the same; so what was refused is seen as something that failed to start. It is remembered in
memory only: an operator that starts anew asks once more and hears it again.
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Refusals(Generic[T]):
    """What was refused, by the uid of its run and its name."""

    def __init__(self) -> None:
        self._refused: dict[str, dict[str, T]] = {}

    def note(self, run_uid: str, name: str, what: T) -> None:
        """Remember."""
        self._refused.setdefault(run_uid, {})[name] = what

    def of(self, run_uid: str) -> dict[str, T]:
        """Return what was refused to a run, by name."""
        return dict(self._refused.get(run_uid, {}))

    def drop(self, run_uid: str, name: str) -> None:
        """Forget one."""
        self._refused.get(run_uid, {}).pop(name, None)

    def forget(self, run_uid: str) -> None:
        """Forget everything about a run."""
        self._refused.pop(run_uid, None)
