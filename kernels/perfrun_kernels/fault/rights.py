"""Which rights the agent was given, looked at before they are needed.

A capability that is missing shows itself late and as a bare "operation not permitted"; the person who wrote the pod's
security context needs the name of the one to add.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Final

from perfrun_kernels.fault.refusal import RefusedError

BITS: Final = MappingProxyType({"NET_ADMIN": 12, "SYS_PTRACE": 19, "SYS_ADMIN": 21})
"""Numbers of the capabilities that faults need (linux/capability.h)."""


def effective() -> int:
    """Return the effective capabilities of this process as a bit mask.

    Raises:
        OSError: /proc is not there.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def need(name: str, purpose: str, mask: int) -> None:
    """Refuse where the capability ``name`` is not in ``mask``; ``purpose`` ends the sentence "... is needed to".

    Raises:
        RefusedError: it is missing (reason MissingCapability).
    """
    if not mask & 1 << BITS[name]:
        raise RefusedError(
            "MissingCapability",
            f"the agent lacks CAP_{name}, which is needed to {purpose}; run its container as user 0 with {name} in "
            "securityContext.capabilities.add",
        )
