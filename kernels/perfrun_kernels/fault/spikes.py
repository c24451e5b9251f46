"""What injected spikes may have left on a node: looked for, and removed, by the program that makes them.

A node on which no spike was ever made needs neither that program nor the rights to run it: a journal on the node's own
disk says whether one was. Without the program it is the journal alone that is looked at.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from perfrun_kernels.fault.refusal import LeftError
from perfrun_kernels.spike import watching

JOURNALS: Final = (Path("/proc/1/root/run/perfrun-spikes"), Path("/run/perfrun-spikes"))
"""Where journals of spikes lie: on the node's own disk, which the first process shows to whoever shares its table."""


def clean() -> tuple[list[str], str]:
    """Remove what spikes left; return what was found, and a sentence of what was looked at, or nothing.

    Raises:
        LeftError: something is still there (reason SpikeLeft), or there are journals and they could not be followed
            (reason SpikesUnseen).
    """
    try:
        binary = watching.PROGRAM.present()
        if binary is None:
            raise watching.UnseenError(f"{watching.PROGRAM.name} is not there")  # noqa: TRY301 -- as any other lack
        seen = watching.undo(binary)
    except watching.UnseenError as error:
        if journals := _journals():
            raise LeftError(
                "SpikesUnseen", f"{', '.join(journals)} tell of spikes, which could not be undone: {error}"
            ) from error
        return [], ""
    if seen.left:
        raise LeftError("SpikeLeft", f"still there after their removal: {', '.join(seen.left)}")
    return [
        f"{each} was removed" for each in seen.found
    ], f"nothing of a spike is left: {watching.LOOKED} were looked at"


def _journals() -> list[str]:
    found: set[str] = set()
    for folder in JOURNALS:
        with suppress(OSError):
            found.update(each.name for each in folder.iterdir() if each.suffix == ".json")
    return sorted(found)
