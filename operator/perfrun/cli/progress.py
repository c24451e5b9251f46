"""What a command is waiting for, on standard error: a moving line on a terminal, a line per change elsewhere.

Standard output belongs to the result, so that it can be piped.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape


class Progress:
    """Tells what goes on, with the seconds since it began."""

    def __init__(self, title: str, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._title, self._text = title, ""
        self._began = time.monotonic()
        self._status = self._console.status(escape(title)) if self._console.is_terminal else None

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def tell(self, text: str) -> None:
        """Show what is going on now; the same text again changes nothing."""
        if text == self._text:
            return
        self._text = text
        if self._status is not None:
            self._status.update(f"{escape(self._title)}: {escape(text)}")
        else:
            self._console.print(
                f"{time.monotonic() - self._began:6.1f} s  {escape(self._title)}: {escape(text)}", soft_wrap=True
            )
