"""The label and annotation keys that tie children to what they belong to; watches and lists select by them."""

from __future__ import annotations

from typing import Final

RUN: Final = "perfrun.dev/run"
RUN_UID: Final = "perfrun.dev/run-uid"
RUN_NAMESPACE: Final = "perfrun.dev/run-namespace"
FAULT: Final = "perfrun.dev/fault"
FAULT_KIND: Final = "perfrun.dev/fault-kind"
"""Label of a fault agent: isolate, freeze or undo."""

HOLDS: Final = "perfrun.dev/holds"
"""Label of a run that changed something which is not proven undone, so that such runs are found among all others."""

STAGE: Final = "perfrun.dev/stage"
ATTEMPT: Final = "perfrun.dev/attempt"
FEATURE: Final = "perfrun.dev/feature"
TARGET: Final = "perfrun.dev/target"
METRIC: Final = "perfrun.dev/metric"
"""Labels of a kept forecast: the name of its target, and the key of what it foretells."""

CAUSE: Final = "perfrun.dev/cause"
CA_BUNDLE: Final = "perfrun.dev/ca-bundle"
"""Annotation of benchmark pods that holds the certificates vouching for the operator; mounted as a file."""

CORDONED_BY: Final = "perfrun.dev/cordoned-by"
"""Annotation of a node that a run made unschedulable: the run's uid."""

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
NAME: Final = "app.kubernetes.io/name"
COMPONENT: Final = "app.kubernetes.io/component"

FAULT_AGENT: Final = "fault-agent"
"""The component that fault agents are."""
