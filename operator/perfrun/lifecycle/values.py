"""What decisions are made from and what they give: plain values, without any I/O.

``decide`` turns (object, observation, now) into a Decision. A Decision's status is persisted before its actions
are carried out, and every action is idempotent, so an operator may be killed between any two effects.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Generic, Literal, TypeVar

import attrs

from perfrun.api.faults import FaultStatus
from perfrun.api.feature import FeatureSpec, FeatureStatus
from perfrun.api.kept import ForecastSpec, ForecastStatus
from perfrun.api.plan import Stage
from perfrun.api.run import ArtifactLink, RunSpec, RunStatus
from perfrun.api.target import TargetSpec, TargetStatus
from perfrun.capabilities.base import QueryAnswer, ServedIds
from perfrun.manifests.external import ExternalState
from perfrun_kernels.contract import FaultReport, Result

Kind = Literal["PerfFeature", "PerfRun", "PerfTarget", "PerfForecast"]


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
class Kept:
    """A PerfForecast, read: a forecast that is kept until it can be scored."""

    meta: Meta
    spec: ForecastSpec
    status: ForecastStatus


Ours = Run | Feature | Target | Kept
"""An object of one of our kinds."""


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
    ``ip`` is its address, once it has one: that of its node where it uses the node's network.
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
    index: int | None = None
    stage: str = ""
    attempt: int = 0
    ip: str = ""


@attrs.frozen
class NodeView:
    """What decisions need to know of a node; ``cpu`` is allocatable, in cores."""

    name: str
    ready: bool
    cordoned: bool
    labels: Mapping[str, str]
    cpu: float
    cordoned_by: str = ""


@attrs.frozen
class WorkloadView:
    """A Deployment's or StatefulSet's replicas: wanted, and ready."""

    replicas: int
    ready: int


@attrs.frozen
class AgentView:
    """The pod of a fault agent, and what it reported when it ended."""

    pod: PodView
    fault: str
    node: str
    undo: bool
    report: FaultReport | None = None


@attrs.frozen
class OtherRun:
    """Another unfinished run against the same target; ``disturbs`` says that it loads or breaks it."""

    name: str
    created: dt.datetime
    running: bool
    disturbs: bool


@attrs.frozen
class HandedIn:
    """A result that a pod handed in: the stored bytes' link, and the result or the sentence why it is none."""

    link: ArtifactLink
    result: Result | Missing


@attrs.frozen
class RunObservation:
    """The world as one run sees it, gathered at one moment.

    ``feature`` and ``target`` are read only while nothing is frozen yet. ``pods`` are this run's, by name.
    ``results`` are those of each stage's current attempt, by stage id; ``checkpoints`` are what the attempts at a stage
    that resumes had so far, by stage id and number. ``answers`` are of query stages under way.
    ``images`` are the image digests of the pods under test, by pod name and container (``web-0/server``).

    What follows is read for runs that load or break something. ``shards`` are the results of generator pods by stage
    id and shard. ``nodes`` are all nodes by name. ``serving`` are the pods behind the Service that are ready, by node.
    ``jobs`` are the names of this run's Jobs. ``agents`` are this run's fault agents by pod name. ``foreign_faults``
    are other runs whose faults are not undone. ``external`` are the states of faults that other tools carry out, by
    fault id (absent: nothing of it exists). ``protected`` says of nodes why they must not fail. ``ids`` are the
    request ids that servers logged, by stage id. ``denied`` is a sentence where a right is missing for this.

    ``kept`` are the target's kept forecasts, read once a stage that foretells has handed in.
    """

    feature: str | Missing | None = None
    target: TargetSpec | Missing | None = None
    pods: Mapping[str, PodView] = attrs.field(factory=dict)
    results: Mapping[str, HandedIn] = attrs.field(factory=dict)
    checkpoints: Mapping[str, Mapping[int, HandedIn]] = attrs.field(factory=dict)
    answers: Mapping[str, QueryAnswer] = attrs.field(factory=dict)
    images: Mapping[str, str] = attrs.field(factory=dict)
    shards: Mapping[str, Mapping[int, HandedIn]] = attrs.field(factory=dict)
    nodes: Mapping[str, NodeView] = attrs.field(factory=dict)
    serving: Mapping[str, tuple[str, ...]] | Missing = attrs.field(factory=dict)
    workload: WorkloadView | Missing | None = None
    jobs: frozenset[str] = frozenset()
    agents: Mapping[str, AgentView] = attrs.field(factory=dict)
    foreign_faults: tuple[str, ...] = ()
    external: Mapping[str, ExternalState] = attrs.field(factory=dict)
    protected: Mapping[str, str] = attrs.field(factory=dict)
    others: tuple[OtherRun, ...] = ()
    ids: Mapping[str, ServedIds] = attrs.field(factory=dict)
    denied: str = ""
    kept: tuple[Kept, ...] = ()


@attrs.frozen
class FeatureObservation:
    """The world as one feature sees it: its text, its target, and the runs that belong to it."""

    feature: str | Missing
    target: TargetSpec | Missing
    runs: tuple[Run, ...] = ()


@attrs.frozen
class ForecastObservation:
    """What one kept forecast is scored with, read once it is due: its target, and what happened."""

    target: TargetSpec | Missing
    answer: QueryAnswer | None = None


@attrs.frozen
class StartPod:
    """Create the pod of one attempt; creating it twice is creating it once, for its name is derived.

    ``stage`` holds what the pod is told. It runs ``on`` that node only, where one is named, and never on those in
    ``avoid``.
    """

    name: str
    stage: Stage
    attempt: int
    on: str = ""
    avoid: tuple[str, ...] = ()


@attrs.frozen
class StopPod:
    """Delete a pod of this run, if it is there."""

    name: str


@attrs.frozen
class StartLoad:
    """Create the Indexed Job of one attempt at a load stage; its pods begin together at ``start_at``.

    Generators never run on the nodes ``avoid``, and rather not on those in ``rather_not``.
    """

    name: str
    stage: Stage
    attempt: int
    start_at: dt.datetime
    avoid: tuple[str, ...] = ()
    rather_not: tuple[str, ...] = ()


@attrs.frozen
class StopLoad:
    """Delete a Job of this run with its pods, if it is there."""

    name: str


@attrs.frozen
class Hold:
    """Put the finalizer on the run, before anything is changed that must be undone."""


@attrs.frozen
class Release:
    """Take the finalizer off: everything is proven undone."""


@attrs.frozen
class StartAgent:
    """Create the pod of a fault agent on a node; creating it twice is creating it once.

    ``attempt`` is that at the fault's stage, of which an agent of kind spike hands in the result.
    """

    name: str
    fault: str
    node: str
    kind: Literal["isolate", "freeze", "spike", "undo"]
    starts_at: dt.datetime
    ends_at: dt.datetime
    attempt: int = 1


@attrs.frozen
class StopAgent:
    """Delete the pod of a fault agent; it undoes its fault when it is told to stop."""

    name: str


@attrs.frozen
class Cordon:
    """Make a node unschedulable and note on it which run did; then evict the pods on it."""

    node: str


@attrs.frozen
class Uncordon:
    """Make a node schedulable again, if this run cordoned it."""

    node: str


@attrs.frozen
class KillPods:
    """Delete pods of the Service at once, without grace; ``pods`` are their names.

    Only those that were created ``before`` the fault began: what a StatefulSet makes anew has the same name.
    """

    pods: tuple[str, ...]
    before: dt.datetime


@attrs.frozen
class Scale:
    """Set the replicas of the target's workload."""

    replicas: int


@attrs.frozen
class StartExternal:
    """Create the objects by which another tool carries the fault out."""

    fault: FaultStatus


@attrs.frozen
class StopExternal:
    """End a fault that another tool carries out, and remove its objects."""

    fault: FaultStatus


@attrs.frozen
class Store:
    """Keep bulk evidence; storing the same name twice replaces it with the same content.

    It is carried out before the status is persisted, for the status links to it.
    """

    name: str
    content: bytes
    media_type: str = "application/json"


@attrs.frozen
class Keep:
    """Keep a forecast; kept twice it is kept once, for its name is derived.

    It is carried out before the status is persisted, too: a verdict may rest on a result that no later look reads.
    """

    name: str
    spec: ForecastSpec


@attrs.frozen
class Discard:
    """Delete a kept forecast."""

    name: str


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


Change = (
    StartLoad | StopLoad | Hold | Release | StartAgent | StopAgent | Cordon | Uncordon | KillPods | Scale
    | StartExternal | StopExternal
)  # fmt: skip
"""What runs that load or break something do to the world."""

Action = StartPod | StopPod | Change | Store | Keep | Discard | CreateRun | CancelRun | DeleteRun | Emit


Status = TypeVar("Status", RunStatus, FeatureStatus, TargetStatus, ForecastStatus)


@attrs.frozen
class Decision(Generic[Status]):
    """The next status, what to do once it is persisted, and when to look again unless something happens before."""

    status: Status
    actions: tuple[Action, ...] = ()
    look_at: dt.datetime | None = None
