"""Kept forecasts on the API server: made once, owned by their target, and found by it."""

from __future__ import annotations

import logging

import attrs

from perfrun.adapters.api import AlreadyExists, Api, NotFound, Refused
from perfrun.adapters.disturbing import Wrote
from perfrun.adapters.paths import object_path, or_none
from perfrun.adapters.reading import MalformedError, forecast_of
from perfrun.lifecycle.values import Keep, Kept, Key, Run
from perfrun.manifests import labels
from perfrun.manifests.kept import perf_forecast
from perfrun.manifests.names import label_value

log = logging.getLogger(__name__)


@attrs.frozen
class Forecasts:
    """Lists and creates; ``wrote`` hears of every version that is written."""

    api: Api
    wrote: Wrote

    async def of(self, namespace: str, target: str) -> tuple[Kept, ...]:
        """Return the forecasts of a target; one that cannot be understood is left out, with a warning."""
        selector = f"{labels.TARGET}={label_value(target)}"
        found = []
        async for stored in self.api.pages(object_path("PerfForecast", namespace), selector):
            try:
                found.append(forecast_of(stored))
            except MalformedError as error:
                log.warning("forecast left out", extra={"error": str(error)})
        return tuple(each for each in found if each.spec.target_ref == target)

    async def keep(self, run: Run, action: Keep) -> str:
        """Create the forecast, unless one of this name is there; return why it cannot be kept, or an empty text.

        Raises:
            Unavailable: the API server did not answer.
        """
        namespace, name = run.meta.namespace, action.spec.target_ref
        try:
            target = await or_none(self.api.get(object_path("PerfTarget", namespace, name)))
            if target is None:
                return f"PerfTarget {name} is gone, and a forecast goes with its target"
            body = perf_forecast(action.name, namespace, action.spec, target["metadata"]["uid"])
            stored = await self.api.create(object_path("PerfForecast", namespace), body)
        except AlreadyExists:
            return ""
        except (Refused, NotFound) as refusal:
            return f"the API server refuses it: {refusal}"
        self.wrote(Key("PerfForecast", namespace, action.name), stored["metadata"]["resourceVersion"])
        return ""
