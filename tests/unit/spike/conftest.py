"""Streams of events made by hand, in microseconds from the sending of the probe that has no answer."""

import attrs
import pytest

from perfrun_kernels.spike.lines import Container, Event, Events, Spike, State, Task

NODE, INSIDE = 4026531840, 4026532999
VETH, ETH = 12, 2
PORT = 40001
NGINX = 4711
ZERO = 1_000_000_000_000
SHOWN = frozenset(
    {
        "dev_queue", "qdisc_enqueue", "qdisc_dequeue", "dev_xmit", "netif_rx", "netif_receive", "sock_ready", "recv",
        "drop", "waking", "wakeup", "switch_in", "switch_out",
    }
)  # fmt: skip


def ns(microseconds):
    return ZERO + round(1000 * microseconds)


class Stream:
    """A recording that grows; its probes before the one in question are answered well."""

    def __init__(self):
        self.events = []
        self.lost = 0
        self.shown = SHOWN
        self.state = State(1, ns(2010), (Container("c1", "/kubepods/c1", 0, 0, frozen=False),))
        for at in (-4000, -3000, -2000, -1000):
            self.arrives(at).served(at + 20).answered(at + 60)

    def add(self, at, kind, **more):
        self.events.append(Event(ns(at), kind, **more))
        return self

    def packet(self, at, kind, direction="request", **more):
        inside = kind in {"netif_receive", "sock_ready", "netif_rx"}
        inside = inside if direction == "request" else not inside
        place = {"netns": INSIDE, "ifindex": ETH} if inside else {"netns": NODE, "ifindex": VETH}
        return self.add(at, kind, **({"direction": direction, "port": PORT, "length": 90, "cpu": 0} | place | more))

    def task(self, at, kind, **more):
        return self.add(at, kind, **({"netns": INSIDE, "pid": NGINX, "comm": "nginx", "cpu": 1} | more))

    def sent(self, at=0):
        return self.packet(at + 3, "dev_queue").packet(at + 5, "dev_xmit").packet(at + 6, "netif_rx")

    def arrives(self, at=0):
        return self.sent(at).packet(at + 9, "netif_receive").packet(at + 12, "sock_ready")

    def served(self, at):
        self.task(at - 7, "waking", cpu=0).task(at - 6, "wakeup").task(at, "switch_in", state="S")
        return self.packet(at + 3, "recv", pid=NGINX, netns=INSIDE, ifindex=0)

    def answered(self, at):
        self.packet(at, "dev_queue", "reply").packet(at + 2, "dev_xmit", "reply").packet(at + 3, "netif_rx", "reply")
        self.packet(at + 5, "netif_receive", "reply").packet(at + 7, "sock_ready", "reply")
        return self.task(at + 9, "switch_out", state="S")

    def throttled(self, times=1):
        return self.held(throttled=times, throttled_ns=times * 1_000_000)

    def held(self, **more):
        self.state = attrs.evolve(self.state, containers=(attrs.evolve(self.state.containers[0], **more),))
        return self

    def saw(self, state, *, ran=None, pid=NGINX, where=""):
        self.state = attrs.evolve(self.state, tasks=(Task(pid, state, 1, ran, where),))
        return self

    def spike(self, deadline=2000):
        return Spike(1, ns(deadline + 10), "10.1.0.5", PORT, 7, ns(0), ns(deadline), 0)

    def seen(self):
        ordered = tuple(sorted(self.events, key=lambda each: each.at))
        return Events(1, ns(-5000), ns(32_000), complete=True, lost=self.lost, events=ordered)


@pytest.fixture
def stream():
    return Stream()
