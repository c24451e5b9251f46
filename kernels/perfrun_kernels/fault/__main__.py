"""``python -m perfrun_kernels.fault``: what a fault agent's container starts.

It reads one order, carries it out, and reports once: in the termination message, which outlives the pod's connection to
anything, and on standard output. Whatever happens, there is a report.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from perfrun_kernels import contract
from perfrun_kernels.contract import ContractError, FaultOrder, FaultReport
from perfrun_kernels.fault import waiting
from perfrun_kernels.fault.refusal import LeftError, RefusedError

TERMINATION_LOG = "/dev/termination-log"


def main(environ: Mapping[str, str]) -> int:
    """Carry out the order of the environment; return the exit code, 0 as soon as there is a report."""
    waiting.block()
    text = environ.get(contract.FAULT_ENV, "")
    try:
        order = FaultOrder.from_json(text)
    except ContractError as error:
        message = f"${contract.FAULT_ENV}: {error}"
        report = FaultReport("", "", "", "Refused", reason="BadOrder", message=message)
    else:
        report = carry_out(order, environ)
    answer = report.to_json()
    try:
        Path(environ.get(contract.TERMINATION_LOG_ENV, TERMINATION_LOG)).write_text(answer, encoding="ascii")
    except OSError as error:
        say(f"no termination message: {error}")
    say(contract.REPORT_PREFIX + answer)
    return 0


def carry_out(order: FaultOrder, environ: Mapping[str, str]) -> FaultReport:
    """Return the report of what was done; ``environ`` says where programs are, and where a result goes."""
    state: contract.FaultState
    try:
        return _dispatch(order, environ)
    except RefusedError as error:
        state, reason, message = "Refused", error.reason, str(error)
    except LeftError as error:
        state, reason, message = "Left", error.reason, str(error)
    except Exception as error:  # noqa: BLE001 -- a defect must not leave the operator without a report
        state, reason, message = "Left", "Broke", f"the agent broke, undo has to look: {type(error).__name__}: {error}"
    return FaultReport(order.fault, order.node, order.kind, state, reason=reason, message=message)


def _dispatch(order: FaultOrder, environ: Mapping[str, str]) -> FaultReport:
    path = environ.get("PATH", "")
    # Each is imported only when asked for: an agent that begins faster can be ordered later.
    if order.kind == "isolate":
        from perfrun_kernels.fault import isolate  # noqa: PLC0415 -- see above

        return isolate.run(order, path, armed)
    if order.kind == "freeze":
        from perfrun_kernels.fault import freeze  # noqa: PLC0415 -- see above

        return freeze.run(order, armed)
    if order.kind == "spike":
        from perfrun_kernels.spike import agent  # noqa: PLC0415 -- see above

        return agent.run(order, environ, armed, say)
    from perfrun_kernels.fault import undo  # noqa: PLC0415 -- see above

    return undo.run(order, path)


def armed(what: str) -> None:
    """Tell people who watch the log that the agent waits for the fault's start."""
    say(f"armed: {what}")


def say(line: str) -> None:
    """Print a line; nobody may be reading any more."""
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except OSError:
        return


if __name__ == "__main__":
    sys.exit(main(os.environ))
