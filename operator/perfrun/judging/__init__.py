"""Measured value × limit → verdict with its reason."""
