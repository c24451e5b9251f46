"""Which nodes fail: all that may, less those that rules take away, in an order that a seed gives.

The order follows from seed and names alone, so the same run chooses the same nodes however often it is decided anew,
and a recorded seed repeats a choice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping

import attrs

from perfrun.api.chaos import Chaos
from perfrun.lifecycle.values import NodeView


@attrs.frozen
class Around:
    """What the rules look at: the target's chaos, all nodes, and of some nodes what speaks against their failing.

    ``protected`` says what a node carries, ``last_for_generators`` are nodes without which no generator could run.
    """

    chaos: Chaos
    nodes: Mapping[str, NodeView]
    protected: Mapping[str, str]
    last_for_generators: frozenset[str] = frozenset()


@attrs.frozen
class Candidates:
    """Nodes that may fail, and those that may not by the rule that took them, each rule in words."""

    names: tuple[str, ...]
    left_out: Mapping[str, tuple[str, ...]]


Rule = Callable[[str, Around], bool]


def candidates(serving: Iterable[str], around: Around) -> Candidates:
    """Return which of the serving nodes may fail; the first rule that takes a node is the one that is told."""
    left, left_out = sorted(serving), {}
    for words, takes in RULES.items():
        taken = tuple(node for node in left if takes(node, around))
        left = [node for node in left if node not in taken]
        if taken:
            left_out[words] = taken
    return Candidates(tuple(left), left_out)


def choose(names: Iterable[str], count: int, seed: int) -> tuple[str, ...]:
    """Return ``count`` of the names, in the order of their names."""
    return tuple(sorted(sorted(names, key=lambda name: _rank(seed, name))[:count]))


def seed_of(run_uid: str, fault: str) -> int:
    """Return the seed of a fault whose target names none."""
    return int.from_bytes(_digest(run_uid, fault)[:4], "big")


def _rank(seed: int, name: str) -> bytes:
    return _digest(str(seed), name)


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode()).digest()


def _unnamed(node: str, around: Around) -> bool:
    return bool(around.chaos.nodes) and node not in around.chaos.nodes


def _unselected(node: str, around: Around) -> bool:
    return not matches(around.nodes[node].labels, around.chaos.node_selector)


def _labelled(node: str, around: Around) -> bool:
    labels = around.nodes[node].labels
    return any(labels.get(name) == value for name, value in around.chaos.protected_labels.items())


def _carries_operator(node: str, around: Around) -> bool:
    return "operator" in around.chaos.spare and "operator" in around.protected.get(node, "").lower()


def _carries_prometheus(node: str, around: Around) -> bool:
    return "prometheus" in around.chaos.spare and "prometheus" in around.protected.get(node, "").lower()


def _last_for_generators(node: str, around: Around) -> bool:
    return "generator" in around.chaos.spare and node in around.last_for_generators


def matches(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """Whether all of the selector's labels are among these."""
    return all(labels.get(name) == value for name, value in selector.items())


RULES: Mapping[str, Rule] = {
    "not named in chaos.nodes": _unnamed,
    "not selected by chaos.nodeSelector": _unselected,
    "with a label of chaos.protectedLabels": _labelled,
    "with the operator on it (chaos.spare)": _carries_operator,
    "with Prometheus on it (chaos.spare)": _carries_prometheus,
    "without which generators have no node left (chaos.spare)": _last_for_generators,
}
