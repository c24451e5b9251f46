"""Scrape jobs and recording rules as objects of the Prometheus Operator: ScrapeConfig and PrometheusRule.

Field by field what a Prometheus' own configuration says; the operator writes them back into one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

_SPELT: Final[Mapping[str, str]] = {
    "job_name": "jobName",
    "scrape_interval": "scrapeInterval",
    "metrics_path": "metricsPath",
    "params": "params",
}
_ROLES: Final[Mapping[str, str]] = {"node": "Node", "pod": "Pod", "endpointslice": "EndpointSlice"}


def objects(
    jobs: Sequence[Mapping[str, Any]], groups: Sequence[Mapping[str, Any]], namespace: str, chosen: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return a ScrapeConfig for each job and a PrometheusRule for the groups.

    ``chosen`` are the labels by which a Prometheus object selects them.
    """
    made = [_object("v1alpha1", "ScrapeConfig", job["job_name"], namespace, chosen, _spec(job)) for job in jobs]
    if groups:
        made.append(_object("v1", "PrometheusRule", "perfrun", namespace, chosen, {"groups": list(groups)}))
    return made


def _object(
    version: str, kind: str, name: str, namespace: str, chosen: Mapping[str, str], spec: dict[str, Any]
) -> dict[str, Any]:
    labels = {"app.kubernetes.io/managed-by": "perfrun", **chosen}
    return {
        "apiVersion": f"monitoring.coreos.com/{version}",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": spec,
    }


def _spec(job: Mapping[str, Any]) -> dict[str, Any]:
    spec = {_SPELT[key]: value for key, value in job.items() if key in _SPELT}
    spec["kubernetesSDConfigs"] = [{**each, "role": _ROLES[each["role"]]} for each in job["kubernetes_sd_configs"]]
    spec["relabelings"] = [_camel(rule) for rule in job["relabel_configs"]]
    if "metric_relabel_configs" in job:
        spec["metricRelabelings"] = [_camel(rule) for rule in job["metric_relabel_configs"]]
    return spec


def _camel(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {re.sub(r"_(.)", lambda found: found[1].upper(), key): value for key, value in rule.items()}
