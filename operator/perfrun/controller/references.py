"""Who depends on whom: kept from events in memory, so that a change wakes those whom it concerns and no others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from perfrun.lifecycle.values import Key


class References:
    """From each target to the features and unfinished runs that name it; and the features kept in ConfigMaps."""

    def __init__(self) -> None:
        self._target_of: dict[Key, Key] = {}
        self._users: dict[Key, set[Key]] = {}
        self._generations: dict[Key, int] = {}
        self._in_config_maps: set[Key] = set()

    def note(self, key: Key, spec: dict[str, Any]) -> None:
        """Remember what the object names in its spec."""
        target = Key("PerfTarget", key.namespace, str(spec.get("targetRef", "")))
        if self._target_of.get(key) != target:
            self.forget(key)
            self._target_of[key] = target
            self._users.setdefault(target, set()).add(key)
        if spec.get("configMapKeyRef") is not None:
            self._in_config_maps.add(key)
        else:
            self._in_config_maps.discard(key)

    def forget(self, key: Key) -> None:
        """Forget an object that went, or a run that finished."""
        self._in_config_maps.discard(key)
        target = self._target_of.pop(key, None)
        if target is not None:
            self._users[target].discard(key)
            if not self._users[target]:
                del self._users[target]

    def users(self, target: Key) -> Iterable[Key]:
        """Return the keys that name the target."""
        return tuple(self._users.get(target, ()))

    def changed(self, target: Key, generation: int | None) -> bool:
        """Return whether the target's spec is another than at the last call; None means that it went."""
        before = self._generations.pop(target, None)
        if generation is not None:
            self._generations[target] = generation
        return before != generation

    def in_config_maps(self) -> Iterable[Key]:
        """Return the features whose text is kept in a ConfigMap."""
        return tuple(key for key in self._in_config_maps if key.kind == "PerfFeature")
