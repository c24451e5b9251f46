"""Synthetic measurements of network paths: what a client pod would have handed in, and the load beside it."""

from __future__ import annotations

import attrs
import numpy as np
from loads import START, Happening, histogram

from perfrun.api.service import Service
from perfrun.api.target import TargetSpec
from perfrun.capabilities.base import FoundPeak
from perfrun.planning.compile import plan
from perfrun_kernels.contract import Histogram, Result, Scalar, Series, Table

RATE = 1500.0
BASELINE = 5.0
PEAK = FoundPeak(RATE, "1500/s was answered well, 2250/s not: its p99 was 81 ms, more than 50 ms", proven=True)
TARGET = TargetSpec(service=Service(name="served"))
TEXT = """Feature: f
  Scenario: s
    Given a containerized ML serving environment
    When processing inference requests at peak load
    Then kernel-level network latency should be below {latency}
    And packet loss rate should be below {loss}
    And network throughput should exceed {throughput}
"""


def made(target=TARGET, latency="1ms", loss="0.01%", throughput="10Gbps"):
    """Return the plan of a scenario with all three claims."""
    return plan(TEXT.format(latency=latency, loss=loss, throughput=throughput), target)


PLAN = made()
LOAD = Happening(rate=RATE, segments=tuple(each["seconds"] for each in PLAN.stages[1].parameters["schedule"]), nodes=2)
STAGES = {stage.id: stage for stage in PLAN.stages}


def claims(target=TARGET, **limits):
    """Return the claims by key."""
    steps = made(target, **limits).scenarios[0].steps
    return {step.claim.subject.partition(".")[2]: step.claim for step in steps if step.claim is not None}


@attrs.frozen
class Path:
    """What one path was like: one-way latency in seconds, Gbit/s, and how many packets had what end."""

    stage: str = "s1-other"
    latency: float = 20e-6
    stall: float = 0.0
    together: int = 1
    gbits: float = 14.0
    wander: float = 0.02
    lost: int = 0
    duplicates: int = 0
    reordered: int = 0
    overflowed: int = 0
    refused: int = 0
    unsent: int = 0
    stampless: int = 0
    retransmits: float | None = 12.0
    rounds: int = 5
    seed: int = 5

    def result(self, **changes):
        """Return the result of a client that measured as planned; ``changes`` replace its fields."""
        noise = np.random.default_rng(self.seed)
        asked = STAGES[self.stage].parameters
        packets, begins = asked["packets"], START + BASELINE
        scheduled = int(packets["rate"] * packets["seconds"])
        sent = scheduled - self.refused - self.unsent
        timed = sent - self.lost - self.stampless
        groups = noise.exponential(self.latency / 5, timed // self.together + 1)
        rtts = 2 * (self.latency + np.repeat(groups, self.together)[:timed])
        # A stall holds up one packet in fifty.
        rtts[::50] += 2 * self.stall
        counts = {
            "scheduled": scheduled, "sent": sent, "refused": self.refused, "unsent": self.unsent,
            "received": sent - self.lost - self.overflowed, "overflowed": self.overflowed, "lost": self.lost,
            "duplicates": self.duplicates, "reordered": self.reordered, "answered": timed, "marked": sent,
            "timestamped": timed,
        }  # fmt: skip
        at = begins + packets["at"]
        scalars = {name: Scalar("packets", float(count)) for name, count in counts.items()} | {
            "packets.started": Scalar("s", at), "packets.finished": Scalar("s", at + packets["seconds"]),
            "packets.rate": Scalar("1/s", sent / packets["seconds"]),
            "retransmits": Scalar("segments", self.retransmits, "" if self.retransmits is not None else "not told"),
            "cpu.client": Scalar("s/Gbit", 0.11), "cpu.server": Scalar("s/Gbit", 0.13),
        }  # fmt: skip
        rates, starts, rows = [], [], []
        for each in asked["slices"][: self.rounds]:
            starts.append(len(rates))
            level = self.gbits * (1 + self.wander * noise.normal())
            # The first interval of a slice is slow start.
            rates += [level / 2, *(level * (1 + 0.01 * noise.normal()) for _ in range(3))]
            rows.append([begins + each["at"], float(each["seconds"]), level * each["seconds"], 2.0, 3.0, 3.5])
        nanoseconds = {name: Histogram("s", 1e-9, histogram({40_000: 990, 90_000: 10}).data) for name in _TIMES}
        base = Result(
            run="r", stage=self.stage, attempt=1, outcome="Completed", started=begins, finished=begins + 90,
            series={"rtt.kernel": Series("s", rtts.tolist()), "throughput": Series("Gbit/s", rates, starts)},
            scalars=scalars, histograms=nanoseconds,
            tables={"slices": Table(["started", "seconds", "gbit", "retransmits", "cpu_client", "cpu_server"], rows)},
            facts={
                "device": "eth0", "mtu": 1450, "kernel": "6.18", "same_kernel": False, "streams": 4,
                "congestion": "cubic",
            },
        )  # fmt: skip
        data = {name: getattr(base, name) for name in base.__dataclass_fields__}
        return Result(**{**data, **changes})


_TIMES = ("rtt.application", "qdisc.client", "qdisc.server")
SAME = Path(stage="s1-same", latency=12e-6, gbits=22.0, seed=6)
HOST = Path(stage="s1-host", latency=15e-6, gbits=20.0, seed=7)


def evidence(other=None, shape=lambda _second: {}, **changes):
    """Return the evidence of the path to another node, with the load as planned and the other paths beside it."""
    mine = (other or Path()).result()
    beside = {each.stage: each for each in (mine, SAME.result(), HOST.result())}
    whole = attrs.evolve(
        LOAD.evidence(shape), result=mine, beside=beside, pod="r-s1-other-1", rate=RATE, peak=PEAK
    )  # fmt: skip
    return attrs.evolve(whole, **changes)
