"""The world behind the ports: Kubernetes, Prometheus, artifacts, the clock, and local processes."""
