"""The network program of a benchmark pod: one pod serves, others measure the way to it in turn."""
