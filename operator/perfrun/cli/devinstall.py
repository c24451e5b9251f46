"""Installs the chart and features into a development cluster, with the programs of this checkout instead of images.

The demo and the tests on a cluster install the same way, which is the way people install: with Helm and kubectl.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from perfrun.cli.stop import Stop

CHECKOUT: Final = Path(__file__).parents[3]
"""The source tree; charts, examples and features are in no wheel."""

RELEASE: Final = "perfrun"
SYSTEM: Final = "perfrun-system"

_RESTRICTED: Final = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/warn": "restricted",
}


@attrs.frozen
class Tools:
    """Helm and kubectl, speaking to one cluster."""

    helm_program: Path
    kubectl_program: Path
    kubeconfig: Path

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return what it printed; raises Stop with its message."""
        return self._run((str(self.kubectl_program), *arguments), stdin)

    def helm(self, *arguments: str) -> str:
        """Run Helm and return what it printed; raises Stop with its message."""
        return self._run((str(self.helm_program), *arguments), None)

    def get(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the objects that ``kubectl get`` finds."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "--output", "json"))
        return list(found["items"]) if "items" in found else [found]

    def _run(self, command: Sequence[str], stdin: str | None) -> str:
        answer = subprocess.run(  # noqa: S603 -- programs that this project built, arguments of its own
            [*command, "--kubeconfig", str(self.kubeconfig)], input=stdin, capture_output=True, text=True, check=False
        )
        if answer.returncode != 0:
            said = " ".join((answer.stderr.strip() or answer.stdout.strip()).split())
            raise Stop(f"{Path(command[0]).name} {' '.join(command[1:4])} failed: {said[-800:]}")
        return answer.stdout


def install(tools: Tools, values: Sequence[str] = (), namespace: str = SYSTEM) -> None:
    """Install or upgrade the chart and wait until the operator is ready.

    ``values`` are further arguments for Helm, such as ``--set=replicas=2``.
    """
    make_namespace(tools, namespace)
    tools.helm(
        "upgrade", "--install", RELEASE, str(CHECKOUT / "charts" / "perfrun"), "--namespace", namespace,
        *development_values(), *values, "--wait", "--timeout", "180s",
    )  # fmt: skip


def development_values() -> tuple[str, ...]:
    """Return Helm's arguments for pods that run this checkout's programs with this interpreter."""
    python = str(Path(sys.prefix) / "bin" / "python")
    commands = {
        "command": [python, "-m", "perfrun.controller"],
        "benchmarks.command": [python, "-m", "perfrun_kernels"],
        "chaos.agents.command": [python, "-m", "perfrun_kernels.fault"],
        "drain.command": [python, "-m", "perfrun.cli", "drain"],
    }
    pairs = (f"--set-json={name}={json.dumps(command)}" for name, command in commands.items())
    # The pod's image stays the same whatever the checkout holds, so this is what replaces the pod when code changed.
    code = f"--set-string=podAnnotations.perfrun\\.dev/code={_code_digest()}"
    return "--values", str(CHECKOUT / "charts" / "perfrun" / "values-dev.yaml"), *pairs, code


def _code_digest() -> str:
    digest = hashlib.sha256()
    for source in sorted((CHECKOUT / "operator").rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def make_namespace(tools: Tools, name: str) -> None:
    """Create a namespace, unless it is there, that admits only pods of the security standard "restricted"."""
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": _RESTRICTED}}
    tools.kubectl("apply", "--filename", "-", stdin=json.dumps(manifest))
