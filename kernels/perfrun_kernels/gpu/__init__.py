"""What a GPU was like while it was measured, as its driver tells through NVML."""
