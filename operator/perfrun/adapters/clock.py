"""The machine's clock: the one place where perfrun asks what time it is."""

from __future__ import annotations

import datetime as dt


class SystemClock:
    """Implements ports.Clock."""

    def now(self) -> dt.datetime:
        """Return the present moment in UTC."""
        return dt.datetime.now(dt.UTC)
