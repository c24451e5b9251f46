"""Which capabilities there are: the built-in ones, and those that installed packages name by entry point.

A third party's package that does not load must cost nobody else their verdicts, so it is left out and its failure is
kept as a sentence for ``perfrun lint``, the log and the features that need it.
"""

from __future__ import annotations

import functools
import importlib.metadata

import attrs

from perfrun.api.target import TargetSpec
from perfrun.capabilities.base import Capability
from perfrun.capabilities.custom import Custom
from perfrun.capabilities.faults import Faults
from perfrun.capabilities.forecast import Forecast
from perfrun.capabilities.load import Load
from perfrun.capabilities.memory import Memory
from perfrun.capabilities.network import Network
from perfrun.capabilities.optimization import Optimization
from perfrun.capabilities.sampling import Sampling
from perfrun.capabilities.spikes import Spikes
from perfrun.capabilities.telemetry import Telemetry
from perfrun.language.vocabulary import Vocabulary

GROUP = "perfrun.capabilities"
"""Entry point group in which a package names a Capability: an instance, or a class or function that returns one."""


@attrs.frozen
class Registry:
    """The capabilities that loaded, and a sentence for each that did not."""

    capabilities: tuple[Capability, ...]
    failures: tuple[str, ...] = ()


def capabilities() -> tuple[Capability, ...]:
    """Return every capability, built-in ones first."""
    return _registry().capabilities


def failures() -> tuple[str, ...]:
    """Return a sentence for every entry point that gave no capability."""
    return _registry().failures


def capability(name: str) -> Capability | None:
    """Return the capability of this name, or None where none is installed."""
    return next((each for each in capabilities() if each.name == name), None)


def vocabularies(target: TargetSpec | None) -> tuple[Vocabulary, ...]:
    """Return the words of every capability; named metrics take theirs from the target."""
    return tuple(each.vocabulary(target) for each in capabilities())


@functools.cache
def _registry() -> Registry:
    return load(importlib.metadata.entry_points(group=GROUP))


def load(points: importlib.metadata.EntryPoints | tuple[importlib.metadata.EntryPoint, ...]) -> Registry:
    """Return the registry of the built-in capabilities and those that the entry points give."""
    found: list[Capability] = [
        Sampling(), Load(), Faults(), Network(), Spikes(), Telemetry(), Forecast(), Custom(),
        Optimization(), Memory(),
    ]  # fmt: skip
    failed = []
    for point in points:
        try:
            loaded = point.load()
            added: Capability = loaded() if callable(loaded) else loaded
            problem = _problem(added, found)
        except Exception as error:  # noqa: BLE001 -- importing a third party's code can raise anything
            problem = f"it raised {type(error).__name__}: {error}"
        if problem:
            failed.append(f"capability {point.name!r} from {point.value!r} was left out: {problem}")
        else:
            found.append(added)
    return Registry(tuple(found), tuple(failed))


def _problem(added: Capability, found: list[Capability]) -> str:
    lacking = [name for name in ("name", "vocabulary", "plan", "measure") if not hasattr(added, name)]
    if lacking:
        return f"it is no capability, for it has no {' and no '.join(lacking)}"
    if any(each.name == added.name for each in found):
        return f"there is already a capability named {added.name!r}"
    return ""
