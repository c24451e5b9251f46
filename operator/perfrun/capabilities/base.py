"""What a capability is: its words, what it needs run, and how samples become measured values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Literal, Protocol

import attrs

from perfrun.api.base import JSON
from perfrun.api.faults import FaultStatus, ServingNode
from perfrun.api.plan import Claim, Stage
from perfrun.api.run import Source, TimeWindow
from perfrun.api.target import TargetSpec
from perfrun.language.model import Meaning, Scenario
from perfrun.language.vocabulary import Vocabulary
from perfrun_kernels.contract import Result


@attrs.frozen
class QueryAnswer:
    """What the metrics store answered.

    ``series`` maps a label set (as PromQL writes it, ``{}`` for none) to (unix seconds, value) pairs. ``error`` is
    a sentence where the query failed; ``warnings`` are the server's own.
    """

    query: str
    window: TimeWindow
    step: str = ""
    series: Mapping[str, tuple[tuple[float, float], ...]] = attrs.field(factory=dict)
    error: str = ""
    warnings: tuple[str, ...] = ()
    url: str = ""


@attrs.frozen
class ServedIds:
    """The request ids of good answers that servers logged during a load, and what is missing of them.

    ``ids`` are without those of other runs. ``gaps`` are sentences about logs that could not be read in full.
    """

    ids: tuple[str, ...]
    pods: tuple[str, ...]
    gaps: tuple[str, ...] = ()


@attrs.frozen
class FoundPeak:
    """The highest rate that a load found to be answered well, requests per second, or None where there is none.

    ``why`` is a sentence that says how it was found. ``proven`` says that more was tried, and that it was the servers
    that could not bear it: neither did the ladder end too early, nor could the generators do no more.
    """

    rate: float | None
    why: str
    proven: bool = False


@attrs.frozen
class LiveRecord:
    """How the forecasts of one metric did that were kept until their time had come.

    ``count`` of them were scored since the moment ``since`` (when the first of these was made), ``apart`` of which do
    not overlap in time. ``wape`` and ``coverage`` are in percent, over all of their points together; None where no
    point could be scored. ``nominal`` is the coverage that their intervals were made for, and ``naive`` what seasonal
    naive's WAPE is on the same points; None where not all of them tell.
    """

    count: int
    wape: float | None
    coverage: float | None
    since: dt.datetime | None = None
    apart: int = 0
    nominal: float | None = None
    naive: float | None = None


@attrs.frozen
class Evidence:
    """All that is known when a claim is measured: the result of its stage, or the reason why there is none.

    ``broken`` says of a lost stage that the run itself failed (a pod that wrote nonsense), rather than that the world
    lacked something (no node with room). Of a load: ``shards`` are what its generators handed in, ``start_at`` is when
    they began together (seconds since the epoch), ``serving`` are the nodes behind the Service at that time, ``fault``
    is what was done to them meanwhile, ``rate`` is the rate that it found or was given, and ``ids`` what the servers
    say that they answered.

    Of a pod or fault that goes along with a load: ``shards`` and ``rate`` are of that load, ``beside`` the results of
    all pods that went along with it by stage id, and ``lacking`` says of those that left none why, in a sentence.
    ``peak`` is how its rate was found, where another load found it.

    Of a forecast: ``kept`` says by the metric's key how earlier forecasts did.

    Of a stage that resumes: ``earlier`` is what attempts had handed in before they were lost, in their order.
    """

    result: Result | None = None
    shards: tuple[Result, ...] = ()
    start_at: float = 0.0
    serving: tuple[ServingNode, ...] = ()
    fault: FaultStatus | None = None
    ids: ServedIds | None = None
    rate: float | None = None
    peak: FoundPeak | None = None
    beside: Mapping[str, Result] = attrs.field(factory=dict)
    lacking: Mapping[str, str] = attrs.field(factory=dict)
    answer: QueryAnswer | None = None
    kept: Mapping[str, LiveRecord] = attrs.field(factory=dict)
    earlier: tuple[Result, ...] = ()
    pod: str = ""
    lost_reason: str = ""
    lost_message: str = ""
    broken: bool = False


@attrs.frozen
class Measured:
    """A measured value with its interval; judging compares it with the limit.

    ``value``, ``lower`` and ``upper`` are in the claim's unit. An exact value (bytes counted) has both bounds
    equal to it. A bound that the evidence cannot give is infinite.
    """

    value: float
    lower: float
    upper: float
    samples: int
    effective_samples: float
    window: TimeWindow
    source: Source
    basis: Literal["Observed", "Projected"] = "Observed"
    facts: Mapping[str, JSON] = attrs.field(factory=dict)
    note: str = ""


@attrs.frozen
class NotMeasured:
    """Why there is no value: a CamelCase reason and a sentence; ``broken`` says that the run itself failed."""

    reason: str
    message: str
    broken: bool = False
    no_data: bool = False
    source: Source | None = None
    window: TimeWindow | None = None
    facts: Mapping[str, JSON] = attrs.field(factory=dict)


@attrs.frozen
class Refuted:
    """The claim is contradicted by something besides its number; where the number alone breaks it, that is told first.

    ``message`` is a sentence that says by what, such as that a node has no series at all.
    """

    reason: str
    message: str
    measured: Measured


@attrs.frozen
class Unproven:
    """The claim takes more than its number, and that was not shown; where the number alone breaks it, that decides.

    ``message`` is a sentence that says what was not shown.
    """

    reason: str
    message: str
    measured: Measured


Outcome = Measured | Refuted | Unproven | NotMeasured
"""What measuring a claim may come to."""


@attrs.frozen
class ScenarioPlan:
    """What a scenario needs run: stages in order, and for each claim step (by index) its claim.

    A step whose table promises something in every row has a claim for each of them, in their order.
    """

    stages: tuple[Stage, ...] = ()
    claims: Mapping[int, Claim | tuple[Claim, ...]] = attrs.field(factory=dict)


@attrs.frozen
class Settings:
    """What a plan depends on besides scenario and target.

    ``after`` is the stage whose window a joining capability (named metrics) takes for its own, or empty.
    """

    index: int
    confidence: float = 0.99
    after: str = ""


class PlanError(ValueError):
    """The scenario cannot be planned against this target; the message says what is missing and where it belongs."""


class Capability(Protocol):
    """One thing that can be verified."""

    @property
    def name(self) -> str:
        """Return its name: the first part of its claims' subjects."""

    def vocabulary(self, target: TargetSpec | None) -> Vocabulary:
        """Return its words; named metrics take theirs from the target."""

    def plan(self, scenario: Scenario, target: TargetSpec, settings: Settings) -> ScenarioPlan | None:
        """Return what the scenario needs run, or None where this version cannot measure it yet.

        Raises:
            PlanError: the target lacks something that the scenario needs.
        """

    def measure(self, claim: Claim, evidence: Evidence, confidence: float) -> Outcome:
        """Turn the evidence into a value in the claim's unit."""


def claim_of(meaning: Meaning, unit: str, stage: str, limit: float, **parameters: JSON) -> Claim:
    """Return the claim that a meaning makes, with its limit converted to ``unit``."""
    if meaning.comparator is None:
        msg = f"{meaning.key} makes no claim"
        raise ValueError(msg)
    return Claim(
        subject=f"{meaning.capability}.{meaning.key}", label=meaning.label, comparator=meaning.comparator,
        limit=limit, unit=unit, stage=stage, parameters=parameters,
    )  # fmt: skip
