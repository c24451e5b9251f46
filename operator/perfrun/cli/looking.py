"""What faults have left in a cluster: everything that tells of one, read from the API server at once.

It is read from the cluster's objects and not from any operator, for it has to be known when no operator is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar, get_args

import attrs

from perfrun.adapters.api import METADATA_ONLY, Api, NotFound, Refused
from perfrun.adapters.reading import MalformedError, run_of
from perfrun.api.faults import FINALIZER
from perfrun.cli.access import path
from perfrun.cli.leftovers import Leftover, Trace, leftovers, of_agent, of_external, of_node
from perfrun.lifecycle.values import Run
from perfrun.manifests import external, labels
from perfrun.manifests.external import ExternalBackend

_AGENTS: Final = f"{labels.COMPONENT}={labels.FAULT_AGENT},{labels.MANAGED_BY}=perfrun"
_EXTERNAL: Final = f"{labels.COMPONENT}=fault,{labels.MANAGED_BY}=perfrun"

T = TypeVar("T")


@attrs.frozen
class Look:
    """All that is not settled, and sentences about what could not be looked at."""

    rows: tuple[Leftover, ...] = ()
    unseen: tuple[str, ...] = ()


async def look(api: Api) -> Look:
    """Look at all namespaces, all nodes and all other tools that perfrun knows; raises Unavailable."""
    unseen: list[str] = []

    async def may(what: str, reading: Awaitable[list[T]]) -> list[T]:
        try:
            return await reading
        except NotFound:
            return []
        except Refused as error:
            unseen.append(f"{what} could not be looked at: {error}")
            return []

    tools: tuple[ExternalBackend, ...] = get_args(ExternalBackend)
    found = await asyncio.gather(
        may("fault agents", _traces(api, "/api/v1/pods", _AGENTS, of_agent)),
        may("nodes", _traces(api, "/api/v1/nodes", "", of_node)),
        *(
            may(f"objects of {tool}", _traces(api, where, _EXTERNAL, partial(of_external, tool)))
            for tool in tools
            for where in external.collections(tool)
        ),
    )
    traces = [trace for some in found for trace in some]
    seen = len(unseen)
    there = await may("runs", _there(api, {each.uid for each in traces}))
    listed = len(unseen) == seen
    runs = await asyncio.gather(*(_run(api, each, unseen) for each in there))
    uids = {each["uid"] for each in there}
    # A run that is there but cannot be read may have an operator that sees to it.
    rows = leftovers([run for run in runs if run is not None], traces, lambda uid: listed and uid not in uids)
    return Look(rows, tuple(unseen))


async def _traces(
    api: Api, where: str, selector: str, make: Callable[[Mapping[str, Any]], Trace | None]
) -> list[Trace]:
    return [trace async for each in api.pages(where, selector) if (trace := make(each)) is not None]


async def _there(api: Api, told_of: set[str]) -> list[dict[str, Any]]:
    """Return the metadata of the runs that are kept by our finalizer, or that a trace tells of."""
    return [
        each["metadata"]
        async for each in api.pages(path("PerfRun", None), "", METADATA_ONLY)
        if FINALIZER in (each["metadata"].get("finalizers") or ()) or each["metadata"]["uid"] in told_of
    ]


async def _run(api: Api, metadata: Mapping[str, Any], unseen: list[str]) -> Run | None:
    namespace, name = metadata["namespace"], metadata["name"]
    try:
        return run_of(await api.get(path("PerfRun", namespace, name)))
    except NotFound:
        return None
    except (Refused, MalformedError) as error:
        unseen.append(f"PerfRun {namespace}/{name} could not be read: {error}")
        return None
