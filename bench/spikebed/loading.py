"""Requests to all pods of a node at once, as a Service deals them out, and the highest rate that is answered well."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from typing import Any, Final

from spikebed.node import PATH, PORT, Node, Pod

from perfrun.measuring import histograms
from perfrun_kernels.load import binary

GROWTH: Final = 1.5
FIRST_RATE: Final = 1_000.0
STEPS: Final = 12
STEP_SECONDS: Final = 2.0
GOOD_SECONDS: Final = 0.05
"""p99 up to which a step is answered well; with the two below it is what targets take unless they say otherwise."""

LATE_SECONDS: Final = 0.05 * GOOD_SECONDS
"""The generator's own lateness, p99, up to which it can be believed."""

ACHIEVED: Final = 0.99
_SERVICE: Final = "10.89.0.1"
_CONNECTIONS: Final = 64


def share(node: Node, pods: tuple[Pod, ...]) -> None:
    """Spread connections to one address over these pods at random, as kube-proxy does."""
    ways = ", ".join(f"{number} : {pod.address}" for number, pod in enumerate(pods))
    rules = f"""table ip bench {{
        chain deal {{
            type nat hook prerouting priority dstnat;
            ip daddr {_SERVICE} tcp dport {PORT} dnat to numgen random mod {len(pods)} map {{ {ways} }}
        }}
    }}"""
    subprocess.run([*node.enter(), "nft", "--file", "-"], input=rules, text=True, check=True, capture_output=True)


def peak(client: Pod) -> float:
    """Return the highest rate, per second, that is offered and answered well, in one of two tries.

    Raises:
        RuntimeError: not even the first rate is.
    """
    best, rate = 0.0, FIRST_RATE
    for _ in range(STEPS):
        if not (_well(client, rate) or _well(client, rate)):
            break
        best, rate = rate, rate * GROWTH
    if not best:
        raise RuntimeError(f"not even {FIRST_RATE:g} requests per second are answered well here now")
    return best


def _well(client: Pod, rate: float) -> bool:
    report = json.loads(_ended(_started(client, rate, STEP_SECONDS)))
    took, late = (histograms.decode(report["histograms"][name], "s", 1e-6) for name in ("latency", "lateness"))
    sent = report["achieved_rate"] >= ACHIEVED * report["offered_rate"]
    return sent and not report["errors"] and took.quantile(0.99) <= GOOD_SECONDS and late.quantile(0.99) <= LATE_SECONDS


@contextlib.contextmanager
def load(client: Pod, rate: float, seconds: float) -> Iterator[None]:
    """Send requests at this rate for as long as the block lasts, and no longer than this."""
    running = _started(client, rate, seconds)
    try:
        yield
        if running.poll() is not None:
            raise RuntimeError(f"the load was over before what it was made for: raise its {seconds:g} s")
    finally:
        running.terminate()
        running.communicate()


def _started(client: Pod, rate: float, seconds: float) -> subprocess.Popen[str]:
    wanted: dict[str, Any] = {
        "url": f"http://{_SERVICE}:{PORT}{PATH}", "connections": _CONNECTIONS,
        "segments": [{"seconds": seconds, "rate": rate}],
    }  # fmt: skip
    running = subprocess.Popen(
        [*client.enter(), str(binary())],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    if running.stdin is None:
        raise RuntimeError("the generator has no standard input")
    running.stdin.write(json.dumps(wanted))
    running.stdin.close()
    running.stdin = None
    return running


def _ended(running: subprocess.Popen[str]) -> str:
    said, _ = running.communicate()
    if running.returncode != 0:
        raise RuntimeError(f"the generator ended with exit code {running.returncode}")
    return said
