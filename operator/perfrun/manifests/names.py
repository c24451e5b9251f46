"""Names that follow from what they name, so that creating a child twice is creating it once.

A name holds readable parts for people and a hash of all parts for uniqueness: readable parts alone are not
injective (``a`` + ``b-1`` and ``a-b`` + ``1`` read the same), and they do not always fit.
"""

from __future__ import annotations

import hashlib
import re

LONGEST = 63
"""Characters that a DNS label (RFC 1123) and a label value may have."""

_HASH = 8
_INDEX = len("-999-abcde")
_UNSAFE = re.compile(r"[^a-z0-9]+")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")


def pod_name(run: str, stage: str, attempt: int) -> str:
    """Return the name of the pod, or of the Job, that makes one attempt at a stage of a run.

    A Job's pods are named after it and their index, and all of that must be a DNS label.
    """
    return _derived(run, stage, str(attempt), longest=LONGEST - _INDEX)


def run_name(feature: str, cause: str) -> str:
    """Return the name of the run that a feature starts for a cause, such as ``1`` for its first."""
    return _derived(feature, cause)


def forecast_name(run_uid: str, stage: str, metric: str) -> str:
    """Return the name under which what a stage of a run foretold of a metric is kept, by the metric's key.

    By the run's uid, because the forecast outlives its run, and another may come to have the run's name.
    """
    return _derived(metric, _hash(run_uid, stage))


def event_name(about: str, reason: str, message: str) -> str:
    """Return the name of the Event that tells of one thing about one object; ``about`` is the object's uid."""
    return f"perfrun.{_hash(about, reason, message)}{_hash(message, reason, about)}"


def external_name(run_uid: str, fault: str, node: str = "") -> str:
    """Return the name of the object by which another tool carries a fault out, on one node or on all.

    Short, because such tools append to it; by the run's uid, because runs of all namespaces meet in the target's.
    """
    return f"perfrun-{_hash(run_uid, fault, node)}{_hash(node, fault, run_uid)}"


def agent_name(run_uid: str, fault: str, node: str, kind: str, attempt: int) -> str:
    """Return the name of the pod of a fault agent; ``attempt`` counts the agents of one kind for a fault on a node.

    By the run's uid, because the agents of all namespaces meet in one.
    """
    return _derived(node, f"{fault}-{kind}", str(attempt), _hash(run_uid))


def fault_on_node(run_uid: str, fault: str) -> str:
    """Return by which name a fault is known on its nodes, unlike those of all other runs, of other operators too."""
    return _derived(fault, _hash(run_uid))


def label_value(text: str) -> str:
    """Return the text where it may stand as a label's value, else a readable stand-in with a hash."""
    if text == "" or (len(text) <= LONGEST and _LABEL_VALUE.fullmatch(text)):
        return text
    return _derived(text)


def _derived(*parts: str, longest: int = LONGEST) -> str:
    digest = _hash(*parts)
    readable = [_UNSAFE.sub("-", part.lower()).strip("-") for part in parts]
    # The first part gives way where there are too many characters: it is on a label in full.
    tail = "-".join(each for each in readable[1:] if each)[: LONGEST // 2].strip("-")
    room = longest - _HASH - 1 - (len(tail) + 1 if tail else 0)
    head = readable[0][:room].strip("-") or "x"
    return "-".join(each for each in (head, tail, digest) if each)


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_HASH]
