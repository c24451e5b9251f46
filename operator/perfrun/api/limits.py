"""Bounds that readers of a feature need without loading the models."""

from typing import Final

MAX_FEATURE_BYTES: Final = 131_072
"""Largest feature text, bytes; it is copied into every run, whose object must stay below 256 KiB."""
