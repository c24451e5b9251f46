"""Low precision: what converting a pretrained transformer gains, and what it costs."""
