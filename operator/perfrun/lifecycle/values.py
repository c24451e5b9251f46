"""What decisions are made from and what they give: plain values, without any I/O.

``decide`` turns (object, observation, now) into a Decision. A Decision's status is persisted before its actions
are carried out, and every action is idempotent, so an operator may be killed between any two effects.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Generic, Literal, TypeVar

import attrs

from perfrun.api.feature import FeatureSpec, FeatureStatus
from perfrun.api.plan import Stage
from perfrun.api.run import ArtifactLink, RunSpec, RunStatus
from perfrun.api.target import TargetSpec, TargetStatus
from perfrun.capabilities.base import QueryAnswer
from perfrun_kernels.contract import Result

Kind = Literal["PerfFeature", "PerfRun", "PerfTarget"]


@attrs.frozen(order=True)
class Key:
    """Names one object of ours; what handlers wake."""

    kind: Kind
    namespace: str
    name: str


@attrs.frozen
class Meta:
    """The part of an object's metadata that decisions and writes need."""

    name: str
    namespace: str
    uid: str
    generation: int = 1
    resource_version: str = ""
    created: dt.datetime | None = None
    deleting: bool = False
    labels: Mapping[str, str] = attrs.field(factory=dict)
    annotations: Mapping[str, str] = attrs.field(factory=dict)
    finalizers: tuple[str, ...] = ()


@attrs.frozen
class Run:
    """A PerfRun, read."""

    meta: Meta
    spec: RunSpec
    status: RunStatus


@attrs.frozen
class Feature:
    """A PerfFeature, read."""

    meta: Meta
    spec: FeatureSpec
    status: FeatureStatus


@attrs.frozen
class Target:
    """A PerfTarget, read."""

    meta: Meta
    spec: TargetSpec
    status: TargetStatus


@attrs.frozen
class Missing:
    """Something that was looked for and is not there or not usable: a CamelCase reason and a sentence."""

    reason: str
    message: str


@attrs.frozen
class PodView:
    """What decisions need to know of a pod.

    ``phase`` is the pod's. ``waiting`` is the container's waiting reason (ImagePullBackOff), or ``Unschedulable``;
    ``reason`` is the pod's or the container's termination reason (Evicted, DeadlineExceeded, OOMKilled, Error).
    """

    name: str
    uid: str
    phase: Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"]
    created: dt.datetime
    started: dt.datetime | None = None
    finished: dt.datetime | None = None
    waiting: str = ""
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    node: str = ""
    deleting: bool = False


@attrs.frozen
class HandedIn:
    """A result that a pod handed in: the stored bytes' link, and the result or the sentence why it is none."""

    link: ArtifactLink
    result: Result | Missing


@attrs.frozen
class RunObservation:
    """The world as one run sees it, gathered at one moment.

    ``feature`` and ``target`` are read only while nothing is frozen yet. ``pods`` are this run's, by name.
    ``results`` are those of each stage's current attempt, by stage id. ``answers`` are of query stages under way.
    ``images`` are the image digests of the pods under test, by pod name and container (``web-0/server``).
    """

    feature: str | Missing | None = None
    target: TargetSpec | Missing | None = None
    pods: Mapping[str, PodView] = attrs.field(factory=dict)
    results: Mapping[str, HandedIn] = attrs.field(factory=dict)
    answers: Mapping[str, QueryAnswer] = attrs.field(factory=dict)
    images: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class FeatureObservation:
    """The world as one feature sees it: its text, its target, and the runs that belong to it."""

    feature: str | Missing
    target: TargetSpec | Missing
    runs: tuple[Run, ...] = ()


@attrs.frozen
class StartPod:
    """Create the pod of one attempt; creating it twice is creating it once, for its name is derived."""

    name: str
    stage: Stage
    attempt: int


@attrs.frozen
class StopPod:
    """Delete a pod of this run, if it is there."""

    name: str


@attrs.frozen
class Store:
    """Keep bulk evidence; storing the same name twice replaces it with the same content.

    It is the one action carried out before the status is persisted, for the status links to it.
    """

    name: str
    content: str


@attrs.frozen
class CreateRun:
    """Create a PerfRun owned by the feature; the name is derived from its cause."""

    name: str
    spec: RunSpec
    cause: str


@attrs.frozen
class CancelRun:
    """Set ``spec.cancel`` on a run."""

    name: str


@attrs.frozen
class DeleteRun:
    """Delete a finished run, with everything that it owns."""

    name: str


@attrs.frozen
class Emit:
    """Record a Kubernetes Event; only on transitions, and only after the status that it tells of was persisted."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


Action = StartPod | StopPod | Store | CreateRun | CancelRun | DeleteRun | Emit


Status = TypeVar("Status", RunStatus, FeatureStatus, TargetStatus)


@attrs.frozen
class Decision(Generic[Status]):
    """The next status, what to do once it is persisted, and when to look again unless something happens before."""

    status: Status
    actions: tuple[Action, ...] = ()
    look_at: dt.datetime | None = None
