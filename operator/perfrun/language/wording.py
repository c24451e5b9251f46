"""How problems quote what users wrote: in quotes, and never longer than a sentence can bear."""

from __future__ import annotations


def quoted(text: str, most: int = 80) -> str:
    """Return the text in quotes, cut to ``most`` characters."""
    return repr(text if len(text) <= most else text[: most - 1] + "…")
