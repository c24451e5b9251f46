"""The first process of the cluster's own process namespace: everything of a cluster lives and dies with it.

`up` starts it inside new mount and process namespaces and hands it its order on standard input. An `up` that was killed
before its state file was complete never finishes the order, and this process ends without having made anything.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from perfrun.devcluster.bringup import BringUp, Order
from perfrun.devcluster.errors import DevClusterError
from perfrun.devcluster.layout import Layout
from perfrun.devcluster.processes import Programs, reap_until
from perfrun.devcluster.state import Events


def command() -> list[str]:
    """The command that starts a supervisor in namespaces of its own; killing its first process kills all of them."""
    contained = ("--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private")
    return ["unshare", *contained, "--", sys.executable, "-m", "perfrun.devcluster.supervisor"]


def encode(order: Order) -> bytes:
    """An order as it is handed over."""
    layout = order.layout
    document = {
        "name": layout.name,
        "slot": layout.slot,
        "nodes": layout.nodes,
        "stateRoot": str(layout.state_root),
        "binDir": str(order.bin_dir),
        "gpuCapacity": order.gpu_capacity,
    }
    return json.dumps(document).encode()


def decode(content: bytes) -> Order | None:
    """The order, or nothing where it was cut off."""
    try:
        document: dict[str, Any] = json.loads(content)
    except ValueError:
        return None
    layout = Layout(
        name=document["name"], slot=document["slot"], nodes=document["nodes"], state_root=Path(document["stateRoot"])
    )
    return Order(layout=layout, bin_dir=Path(document["binDir"]), gpu_capacity=document["gpuCapacity"])


def main() -> int:
    """Hold the cluster: collect orphans here, and do the work in a child whose own children nobody else collects."""
    order = decode(sys.stdin.buffer.read())
    if order is None:
        return 1
    worker = os.fork()
    if worker:
        return reap_until(worker)
    os._exit(_work(order))


def _work(order: Order) -> int:
    layout = order.layout
    programs = Programs(order.bin_dir, layout.logs)
    events = Events(layout.root / "events.jsonl")
    try:
        BringUp(order, programs, events).run()
    except DevClusterError as error:
        events.failed(str(error))
        return 1
    except subprocess.CalledProcessError as error:
        events.failed(
            f"`{' '.join(map(str, error.cmd))}` failed: {_text(error.stderr) or _text(error.output) or error}"
        )
        return 1
    except Exception as error:
        events.failed(f"{type(error).__name__}: {error} (see {layout.logs / 'supervisor.log'})")
        raise
    events.ready()
    programs.supervise()
    return 0


def _text(output: bytes | str | None) -> str:
    decoded = output.decode(errors="replace") if isinstance(output, bytes) else output or ""
    return " ".join(decoded.split())[-400:]


if __name__ == "__main__":
    sys.exit(main())
