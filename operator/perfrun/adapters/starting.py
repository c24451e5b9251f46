"""Starting benchmark pods: once each, and with the server's own words where it will never take one."""

from __future__ import annotations

import datetime as dt
from typing import Final

import attrs

from perfrun.adapters.api import AlreadyExists, Api, NotFound, Refused
from perfrun.adapters.expected import TooMuchError, told
from perfrun.adapters.paths import or_none, pods_path
from perfrun.adapters.reading import owned_by
from perfrun.adapters.refusals import Refusals
from perfrun.api.plan import Stage
from perfrun.lifecycle.values import PodView, Run, StartPod
from perfrun.manifests.pods import Attempt, PodSettings, benchmark_pod
from perfrun.ports import Clock, Unavailable

REFUSED: Final = "Refused"
"""Waiting reason of a pod that the API server did not take."""


@attrs.frozen
class Starting:
    """Creates and deletes the pods of attempts."""

    api: Api
    pods: PodSettings
    clock: Clock
    refused: Refusals[PodView] = attrs.field(factory=Refusals)

    async def start(self, run: Run, action: StartPod) -> None:
        """Create the pod, unless it is there.

        Raises:
            Unavailable: an earlier run's pod still holds the name, or the pod was refused, which is remembered.
            ValueError: the run has no frozen plan.
        """
        attempt = attempt_of(run, action.name, action.stage, action.attempt)
        try:
            stage = await told(self.api, action.stage, attempt.target, run.meta.namespace)
            attempt = attrs.evolve(attempt, stage=stage, on=action.on, avoid=action.avoid)
            await self.api.create(pods_path(run.meta.namespace), benchmark_pod(attempt, self.pods))
        except AlreadyExists:
            there = await or_none(self.api.get(pods_path(run.meta.namespace, action.name)))
            if there is None or not owned_by(there, run.meta.uid):
                msg = f"pod {run.meta.namespace}/{action.name} belongs to something else that is not gone yet"
                raise Unavailable(msg) from None
        except (Refused, NotFound) as refusal:
            self._note(run, refused_pod(action.name, self.clock.now(), str(refusal)))
            msg = f"pod {run.meta.namespace}/{action.name} was refused: {refusal}"
            raise Unavailable(msg) from refusal
        except TooMuchError as error:
            view = refused_pod(action.name, self.clock.now(), "")
            self._note(run, attrs.evolve(view, message=str(error)))
            raise Unavailable(str(error)) from error

    def _note(self, run: Run, view: PodView) -> None:
        self.refused.note(run.meta.uid, view.name, view)

    async def stop(self, run: Run, name: str) -> None:
        """Delete the pod, if it is there."""
        self.refused.drop(run.meta.uid, name)
        await or_none(self.api.delete(pods_path(run.meta.namespace, name)))


def attempt_of(run: Run, name: str, stage: Stage, number: int) -> Attempt:
    """Return one attempt at a stage of a run; raises ValueError where the run has no frozen plan."""
    if run.status.frozen is None:
        msg = f"PerfRun {run.meta.name} has no frozen plan; nothing of it can be started before"
        raise ValueError(msg)
    return Attempt(
        pod=name, namespace=run.meta.namespace, run=run.meta.name, run_uid=run.meta.uid,
        feature=run.spec.feature_ref or "", stage=stage, number=number, target=run.status.frozen.target,
    )  # fmt: skip


def refused_pod(name: str, now: dt.datetime, words: str) -> PodView:
    """Return what is seen of a pod that the API server did not take."""
    return PodView(
        name=name, uid="", phase="Pending", created=now, waiting=REFUSED, message=f"the API server refuses it: {words}"
    )
