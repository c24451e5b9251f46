"""What was measured so far, in a file, so that a long measurement can be made in parts, when the machine is quiet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import attrs

_OF: Final = "of"


@attrs.define
class Kept:
    """Lists by name, of values that JSON knows; ``of`` says of which program they are."""

    path: Path
    of: str
    lists: dict[str, list[Any]] = attrs.field(factory=dict)

    @classmethod
    def at(cls, path: Path, of: str) -> Kept:
        """Return what the file has, or nothing yet.

        Raises:
            ValueError: it has what another program was measured to do, which cannot be put together with this one's.
        """
        if not path.exists():
            return cls(path, of)
        read = json.loads(path.read_text(encoding="utf-8"))
        if read.pop(_OF) != of:
            raise ValueError(
                f"{path} is of another version of the watching program than {of}: delete it, and begin anew"
            )
        return cls(path, of, read)

    def get(self, name: str) -> list[Any]:
        """Return a list as it is now."""
        return self.lists.setdefault(name, [])

    def add(self, name: str, values: list[Any]) -> None:
        """Add to a list, and have it on the disk."""
        self.get(name).extend(values)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps({_OF: self.of, **self.lists}), encoding="utf-8")
        fresh.replace(self.path)
