"""The command perfrun."""
