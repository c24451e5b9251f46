"""Which resource saturates first as throughput grows, and how far throughput scales."""
