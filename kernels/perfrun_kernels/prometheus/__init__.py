"""The reading side of a Prometheus-compatible server, for programs that judge or foretell what it recorded."""

from perfrun_kernels.prometheus.client import Server
from perfrun_kernels.prometheus.series import RawSeries

__all__ = ["RawSeries", "Server"]
