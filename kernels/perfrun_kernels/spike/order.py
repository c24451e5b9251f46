"""What an agent of kind spike can be asked, checked before anything is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

import attrs

from perfrun_kernels.arguments import Arguments
from perfrun_kernels.contract import SpikeKind

KINDS: Final[tuple[SpikeKind, ...]] = get_args(SpikeKind)
_PORTS: Final = 65535


@attrs.frozen
class Container:
    """A container of a pod: ``id`` is the runtime's, 64 hexadecimal digits."""

    name: str
    id: str


@attrs.frozen
class Pod:
    """A pod of the Service that runs on this node."""

    namespace: str
    name: str
    uid: str
    ip: str
    host_network: bool
    containers: tuple[Container, ...]


@attrs.frozen
class SpikeOrder:
    """A checked order. ``inject`` is empty where spikes are only waited for.

    ``given`` is the order as it came, which the watching program gets. ``pods`` are without those in the node's own
    network, which are ``left_out``.
    """

    given: Mapping[str, Any]
    port: int
    inject: tuple[SpikeKind, ...]
    rounds: int
    pods: tuple[Pod, ...]
    left_out: tuple[Pod, ...]
    stage: str
    attempt: int


def parse(data: Mapping[str, Any]) -> SpikeOrder:
    """Read the order's ``spike``.

    Raises:
        ParametersError: with everything that is wrong in it.
    """
    given = Arguments(data)
    probe = given.child("probe")
    port = probe.integer("port", least=1, most=_PORTS)
    probe.text("path")
    probe.number("interval_ms", 2.25, least=0.2, most=1000)
    probe.number("deadline_ms", 2.25, least=0.2, most=1000)
    probe.number("budget_percent", 3.0, least=0.1, most=100)
    probe.number("baseline_ms", 1000.0, least=50, most=60_000)
    given.text("source")
    pods = tuple(_pod(each) for each in given.items("pods"))
    given.number("lasts_ms", 50.0, least=10, most=500)
    given.number("window_s", 30.0, least=0.1, most=3600)
    given.text("container")
    order = SpikeOrder(
        given=data, port=port, inject=_kinds(given, data.get("inject")),
        rounds=given.integer("rounds", 1, least=1, most=1000),
        pods=tuple(each for each in pods if not each.host_network),
        left_out=tuple(each for each in pods if each.host_network),
        stage=given.text("stage") or "", attempt=given.integer("attempt", least=0),
    )  # fmt: skip
    if not order.stage:
        given.complain("stage", order.stage, "the id of the stage that the result belongs to")
    given.finish()
    return order


def _kinds(given: Arguments, value: object) -> tuple[SpikeKind, ...]:
    given.has("inject")
    if value is None:
        return ()
    if isinstance(value, list) and all(each in KINDS for each in value):
        return tuple(each for each in KINDS if each in value)
    given.complain("inject", value, f"a list of {', '.join(KINDS)}")
    return ()


def _pod(given: Arguments) -> Pod:
    # Only a test bed without Kubernetes says these; they are the watching program's.
    given.text("cgroup")
    given.integer("netns_pid", 0, least=0)
    return Pod(
        given.text("namespace") or "", given.text("name") or "", given.text("uid") or "", given.text("ip") or "",
        given.flag("host_network", default=False),
        tuple(Container(each.text("name") or "", _bare(each.text("id") or "")) for each in given.items("containers")),
    )  # fmt: skip


def _bare(identity: str) -> str:
    """Return a container's id without the runtime's name, with which Kubernetes writes it."""
    return identity.rpartition("/")[2]
