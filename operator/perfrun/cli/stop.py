"""How a command says that it cannot go on, and the exit codes that scripts and pipelines read."""

from __future__ import annotations

from typing import Final

USAGE_ERROR: Final = 3
"""Exit code of bad use; 1 and 2 are verdicts here, so the usual 2 would be taken for Inconclusive."""

TIMED_OUT: Final = 124
"""Exit code after a time-out, as of timeout(1)."""

EXIT_CODES: Final[dict[str, int]] = {"Pass": 0, "Fail": 1, "Inconclusive": 2, "Error": 3}
"""Exit codes of verdicts."""


class Stop(Exception):  # noqa: N818 -- not an error of ours: the user's input or world does not fit
    """The command cannot go on; the message is one sentence for the person who typed it."""
