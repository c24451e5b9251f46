"""Waiting for a moment or a signal, whichever comes first.

Signals are blocked and taken one at a time where the agent waits, never in the middle of an act: what is being done to
the node is always finished, and then undone.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Final

STOP: Final = frozenset({signal.SIGTERM, signal.SIGINT})
"""What tells the agent to undo at once."""

CHILD: Final = frozenset({signal.SIGCHLD})

LONGEST_WAIT_SECONDS: Final = 1.0
"""The clock is read again at least that often: it may be set while the agent waits."""


def block() -> None:
    """Keep the signals for `until`; called before anything else, as what comes earlier would end the process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP | CHILD)


def until(
    moment: float, signals: frozenset[signal.Signals] = STOP, clock: Callable[[], float] = time.time
) -> signal.Signals | None:
    """Wait until ``clock`` shows ``moment`` (seconds); return the signal that came first, or None.

    A signal that came before the call is seen even where the moment is already over.
    """
    while True:
        left = moment - clock()
        taken = signal.sigtimedwait(signals, max(0.0, min(left, LONGEST_WAIT_SECONDS)))
        # Python hands out number 0 where the process itself was stopped meanwhile and the time ran out.
        if taken is not None and taken.si_signo in signals:
            return signal.Signals(taken.si_signo)
        if clock() >= moment:
            return None
