"""How commands reach a cluster: any kubeconfig and context, or the service account of the pod they run in."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import attrs
import typer
from kubernetes.aio import config as kubeconfig
from kubernetes.aio.client.configuration import Configuration

from perfrun.adapters.api import Api, NotFound, Refused, load_configuration
from perfrun.adapters.reading import PLURALS
from perfrun.api import GROUP, VERSION
from perfrun.cli.stop import Stop
from perfrun.lifecycle.values import Kind
from perfrun.ports import Unavailable

KubeconfigOption = Annotated[
    str | None,
    typer.Option("--kubeconfig", help="Kubeconfig file; without it $KUBECONFIG, ~/.kube/config or the pod's account."),
]
ContextOption = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.")]
NamespaceOption = Annotated[str | None, typer.Option("--namespace", "-n", help="Namespace; without it, the context's.")]

_NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@attrs.frozen
class Access:
    """A connection and the namespace that is meant where none is named."""

    api: Api
    namespace: str

    async def read(self, kind: Kind, name: str) -> dict[str, Any] | None:
        """Return an object as stored, or None where there is none; raises Unavailable and Stop."""
        try:
            return await self.api.get(path(kind, self.namespace, name))
        except NotFound:
            return None
        except Refused as error:
            raise Stop(f"the API server refuses to show {kind} {name} in {self.namespace}: {error}") from error

    async def names(self, kind: Kind) -> tuple[str, ...]:
        """Return the names of what there is of a kind, for saying so when a name is wrong."""
        try:
            found = await self.api.get(path(kind, self.namespace))
        except (NotFound, Refused, Unavailable):
            return ()
        return tuple(each["metadata"]["name"] for each in found.get("items", ()))


def path(kind: Kind, namespace: str | None, name: str = "") -> str:
    """Return an object's path on the API server; no namespace means all, no name means the list."""
    where = f"/namespaces/{namespace}" if namespace else ""
    return f"/apis/{GROUP}/{VERSION}{where}/{PLURALS[kind]}{'/' + name if name else ''}"


@contextlib.asynccontextmanager
async def connected(kubeconfig_file: str | None, context: str | None, namespace: str | None) -> AsyncIterator[Access]:
    """Connect for the time of a command.

    Raises:
        Stop: there is nothing to connect to, or no such context.
    """
    if kubeconfig_file is not None and not os.path.isfile(kubeconfig_file):  # noqa: ASYNC240, PTH113 -- before anything runs
        raise Stop(f"--kubeconfig {kubeconfig_file} is no file; name a kubeconfig")

    async def load() -> Configuration:
        if context is None:
            return await load_configuration(kubeconfig_file)
        configuration = Configuration()
        await kubeconfig.load_kube_config(
            config_file=kubeconfig_file, context=context, client_configuration=configuration
        )
        return configuration

    try:
        api = await Api.connect(load)
        meant = namespace or _namespace(kubeconfig_file, context)
    except Unavailable as error:
        raise Stop(str(error)) from error
    except (kubeconfig.ConfigException, OSError) as error:
        raise Stop(f"the kubeconfig cannot be used: {error}; check --kubeconfig and --context") from error
    try:
        yield Access(api, meant)
    finally:
        await api.close()


async def missing(access: Access, kind: Kind, name: str) -> Stop:
    """Return what to say of an object that is not there."""
    known = await access.names(kind)
    there = f"there are {', '.join(known[:10])}" if known else "there is none"
    return Stop(f"{kind} {name} was not found in namespace {access.namespace}; {there}")


def _namespace(kubeconfig_file: str | None, context: str | None) -> str:
    if kubeconfig_file is None and context is None and _NAMESPACE_FILE.is_file():
        return _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
    contexts, active = kubeconfig.list_kube_config_contexts(config_file=kubeconfig_file)
    chosen: Mapping[str, Any] = next((each for each in contexts if each["name"] == context), active)
    return str(chosen.get("context", {}).get("namespace") or "default")
