"""A real many-node Kubernetes on one bare Linux machine, without Docker, registry or route outside.

Performance claims need real kubelets, containers and network paths to be tested against; this package brings them up in
seconds, contained in one process tree whose end leaves nothing behind.
"""
