"""Samples → values with intervals; everything statistical lives here, and nothing of it does I/O."""
