"""Engines that leak, thrash or fragment on purpose, and an allocator to fragment where there is no GPU."""
