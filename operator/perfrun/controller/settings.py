"""What an operator is told from outside: each setting is an environment variable and a flag, checked at the start."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, cast

import attrs

from perfrun.controller.watches import WATCH_SECONDS
from perfrun.manifests.agents import DEFAULT_COMMAND as DEFAULT_AGENT_COMMAND
from perfrun.manifests.agents import DEFAULT_NAMESPACE, AgentSettings
from perfrun.manifests.pods import PodSettings

DEFAULT_COMMAND: Final = ("python", "-m", "perfrun_kernels")
DEFAULT_RESOURCES: Final = {
    "requests": {"cpu": "500m", "memory": "1Gi"},
    "limits": {"memory": "2Gi"},
}
"""Resources of a benchmark pod where neither target nor operator say otherwise; no CPU limit, for a throttled
measurement measures the throttle."""


class SettingsError(ValueError):
    """A setting that cannot be used; the message names it, what was found and what was expected."""


@attrs.frozen
class Settings:
    """Everything that an operator is told.

    ``namespaces`` are those that it serves; none means all. ``results_url`` is how benchmark pods reach it. Without
    ``chaos`` nothing is made to fail whatever targets allow; missing rights alone would not keep it from killing pods,
    for it has to delete its own. Where ``agent_image`` and ``agent_runtime_class`` are empty, fault agents have those
    of benchmark pods. ``tls_dir`` holds ``tls.crt``, ``tls.key`` and ``ca.crt``; without it everything is plain HTTP.
    ``identity`` names the operator on its lease and on Events.
    """

    namespaces: tuple[str, ...] = ()
    kubeconfig: str | None = None
    artifacts: str = "artifacts"
    image: str = "perfrun-kernels:latest"
    command: tuple[str, ...] = DEFAULT_COMMAND
    runtime_class: str = ""
    pod_resources: Mapping[str, Mapping[str, str]] = attrs.field(factory=lambda: DEFAULT_RESOURCES)
    chaos: bool = True
    agent_namespace: str = DEFAULT_NAMESPACE
    agent_image: str = ""
    agent_command: tuple[str, ...] = DEFAULT_AGENT_COMMAND
    agent_runtime_class: str = ""
    results_url: str = ""
    host: str = "0.0.0.0"  # noqa: S104 -- pods and the API server come from elsewhere
    port: int = 8443
    probe_port: int = 8081
    tls_dir: Path | None = None
    lease_name: str = "perfrun"
    lease_namespace: str = "default"
    identity: str = attrs.field(factory=socket.gethostname)
    log_format: Literal["json", "console"] = "json"
    log_level: str = "info"
    workers: int = 16
    watch_seconds: int = WATCH_SECONDS

    @property
    def reached_at(self) -> str:
        """The URL under which pods reach this operator; without one, its own host name and port."""
        scheme = "http" if self.tls_dir is None else "https"
        return self.results_url or f"{scheme}://{socket.gethostname()}:{self.port}"

    def pods(self) -> PodSettings:
        """Return what this operator adds to every benchmark pod.

        Raises:
            SettingsError: the certificate bundle cannot be read.
        """
        return PodSettings(
            image=self.image, command=self.command, results_url=self.reached_at, ca_bundle=self._ca_bundle(),
            runtime_class=self.runtime_class, resources=self.pod_resources,
        )  # fmt: skip

    def agents(self) -> AgentSettings:
        """Return what this operator adds to every fault agent."""
        return AgentSettings(
            namespace=self.agent_namespace, image=self.agent_image or self.image, command=self.agent_command,
            runtime_class=self.agent_runtime_class or self.runtime_class,
        )  # fmt: skip

    def _ca_bundle(self) -> str:
        if self.tls_dir is None:
            return ""
        path = self.tls_dir / "ca.crt"
        try:
            return path.read_text()
        except OSError as error:
            msg = f"--tls-dir: {path} cannot be read ({error}); expected the certificate that vouches for tls.crt"
            raise SettingsError(msg) from error


def read(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings: a flag wins over its environment variable, which wins over the default.

    Raises:
        SettingsError: a value cannot be used.
        SystemExit: the arguments ask for help, or there is no such flag.
    """
    given = {name: value for name, value in vars(_parser().parse_args(arguments)).items() if value is not None}
    for name in attrs.fields_dict(Settings):
        variable = f"PERFRUN_{name.upper()}"
        if name not in given and environment.get(variable, "") != "":
            given[name] = environment[variable]
    given.setdefault("identity", environment.get("POD_NAME") or socket.gethostname())
    given.setdefault("lease_namespace", environment.get("POD_NAMESPACE") or "default")
    return Settings(**{name: _value(name, text) for name, text in given.items()})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="perfrun operator",
        description="Run the operator. Every flag is also an environment variable: --probe-port is PERFRUN_PROBE_PORT.",
    )
    for name, text in _HELP.items():
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, help=text, metavar="VALUE")
    return parser


def _value(name: str, text: str) -> Any:
    convert = _CONVERT.get(name, str)
    try:
        return convert(text)
    except (ValueError, TypeError) as error:
        msg = f"--{name.replace('_', '-')}: found {text!r}, expected {_EXPECTED.get(name, 'text')}"
        raise SettingsError(msg) from error


def _words(text: str) -> tuple[str, ...]:
    words = json.loads(text) if text.lstrip().startswith("[") else shlex.split(text)
    if not words or not all(isinstance(word, str) for word in words):
        raise ValueError(text)
    return tuple(words)


def _resources(text: str) -> Mapping[str, Mapping[str, str]]:
    found = json.loads(text)
    if not isinstance(found, dict) or not set(found) <= {"requests", "limits"}:
        raise ValueError(text)
    return {kind: {name: str(amount) for name, amount in amounts.items()} for kind, amounts in found.items()}


def _format(text: str) -> Literal["json", "console"]:
    if text not in ("json", "console"):
        raise ValueError(text)
    return cast("Literal['json', 'console']", text)


def _level(text: str) -> str:
    if text.lower() not in ("debug", "info", "warning", "error"):
        raise ValueError(text)
    return text.lower()


def _yes(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**16:
        raise ValueError(text)
    return number


_CONVERT: Final[Mapping[str, Any]] = {
    "namespaces": lambda text: tuple(part for each in text.split(",") if (part := each.strip())),
    "command": _words, "agent_command": _words, "pod_resources": _resources, "port": _port, "probe_port": _port,
    "chaos": _yes, "tls_dir": Path, "log_format": _format, "log_level": _level, "workers": _positive,
    "watch_seconds": _positive,
}  # fmt: skip

_EXPECTED: Final[Mapping[str, str]] = {
    "command": "words as a shell has them, or a JSON list of strings",
    "agent_command": "words as a shell has them, or a JSON list of strings",
    "pod_resources": 'JSON such as {"requests": {"cpu": "1"}, "limits": {"memory": "2Gi"}}',
    "chaos": "true or false",
    "port": "a port, 0 to 65535", "probe_port": "a port, 0 to 65535",
    "log_format": "json or console", "log_level": "debug, info, warning or error",
    "workers": "a number, at least 1", "watch_seconds": "a number, at least 1",
}  # fmt: skip

_HELP: Final[Mapping[str, str]] = {
    "namespaces": "namespaces to serve, separated by commas; all without it",
    "kubeconfig": "file that says how to reach the cluster; in a pod its service account does",
    "artifacts": "fsspec URL or directory of bulk evidence",
    "image": "image of benchmark pods",
    "command": "command of benchmark pods",
    "runtime_class": "RuntimeClass of benchmark pods",
    "pod_resources": "default resources of benchmark pods, as JSON",
    "chaos": "whether targets may allow faults; true or false",
    "agent_namespace": "namespace of fault agents; one that admits privileged pods",
    "agent_image": "image of fault agents; that of benchmark pods by default",
    "agent_command": "command of fault agents",
    "agent_runtime_class": "RuntimeClass of fault agents; that of benchmark pods by default",
    "results_url": "URL under which benchmark pods reach this operator",
    "host": "address to listen on; empty means every address",
    "port": "port of results, gates, artifacts and admission",
    "probe_port": "port of /healthz, /readyz and /metrics, always plain HTTP",
    "tls_dir": "directory with tls.crt, tls.key and ca.crt",
    "lease_name": "name of the lease that makes one operator work at a time",
    "lease_namespace": "namespace of the lease",
    "identity": "name on the lease; the pod's name by default",
    "log_format": "json or console",
    "log_level": "debug, info, warning or error",
    "workers": "objects that are worked on at once",
    "watch_seconds": "length of one watch request; a watch without a sign of life for 2.5 times as long is dead",
}
