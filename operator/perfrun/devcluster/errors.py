"""One exception type, so that every failure a user can cause reaches the terminal as one sentence and nothing else."""


class DevClusterError(Exception):
    """Something that a user can act on: the message says where, what was found, what was expected and what to do."""
