"""The load program of a benchmark pod: parameters in, the Go generator's run, its books out."""

from perfrun_kernels.load.finding import binary

__all__ = ["binary"]
