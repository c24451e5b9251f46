"""Whose series a series is, and who should have one.

Exporters and scrape configurations name nodes and pods under many labels, by name or by address, so each of the usual
labels is tried, and what is known to exist decides which of them is meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

from perfrun_kernels.telemetry.parameters import Owner, Per

NODE_LABELS: Final = (
    "node", "kubernetes_node", "kubernetes_io_hostname", "node_name", "nodename", "exported_node", "Hostname",
    "hostname", "host", "instance", "exported_instance",
)  # fmt: skip
POD_LABELS: Final = ("pod", "pod_name", "kubernetes_pod_name", "exported_pod", "instance", "exported_instance")
_WITH_PORT: Final = frozenset({"instance", "exported_instance"})


@attrs.frozen
class Finder:
    """Says whose a series is, by the labels that are tried and by who is known."""

    labels: tuple[str, ...]
    known: Mapping[str, str]

    def owner(self, labels: Mapping[str, str]) -> str | None:
        """Return the owner's name, or None where no label names one; without anyone known, any name will do."""
        named = [_bare(name, labels[name]) for name in self.labels if labels.get(name)]
        if not self.known:
            return named[0] if named else None
        for each in named:
            if each in self.known:
                return self.known[each]
        return next((self.known[short] for each in named if (short := _short(each)) in self.known), None)


def finder(per: Per, label: str, known: Iterable[Owner]) -> Finder:
    """Return what finds the owners of a row's series; ``label`` is the only one tried where it is given."""
    usual = POD_LABELS if per == "pod" else NODE_LABELS
    names: dict[str, str] = {}
    for each in known:
        names[each.name] = each.name
        names |= dict.fromkeys(each.addresses, each.name)
    return Finder((label,) if label else usual, names)


def discovered(targets: Sequence[Mapping[str, Any]], jobs: Iterable[str], found: Finder) -> tuple[Owner, ...]:
    """Return the owners of the targets that the server itself scrapes in ``jobs``, whether they are up or not."""
    wanted = set(jobs)
    labels = (each.get("labels", {}) for each in targets)
    owners = {found.owner(each) for each in labels if each.get("job") in wanted}
    return tuple(Owner(each) for each in sorted(each for each in owners if each))


def _bare(label: str, value: str) -> str:
    if label not in _WITH_PORT:
        return value
    host, colon, port = value.rpartition(":")
    return (host if colon and port.isdigit() else value).removeprefix("[").removesuffix("]")


def _short(name: str) -> str:
    return name if name.replace(".", "").isdigit() else name.partition(".")[0]
