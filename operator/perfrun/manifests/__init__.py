"""Plan → Kubernetes objects: names, labels, owners, security contexts."""
