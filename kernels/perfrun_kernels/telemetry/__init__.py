"""The telemetry program of a benchmark pod: judges what a Prometheus-compatible server has recorded of a window."""
