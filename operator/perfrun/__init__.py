"""perfrun: SLOs written as Gherkin, verified on a live Kubernetes cluster."""
