"""The result contract: all that the operator and a benchmark pod know of each other.

Both sides import this module and nothing else of the other, so an operator of one version reads what a pod of
another version wrote, or refuses it in a sentence. It uses the standard library only: a pod that cannot import
torch must still be able to say so.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field
from typing import Any, Final, Literal, get_args

VERSION: Final = 1
"""Version of this contract; a result of another version is refused."""

AUDIENCE: Final = "perfrun.dev/results"
"""Audience of the short-lived service account token with which a pod hands in its result."""

REQUEST_ENV: Final = "PERFRUN_REQUEST"
"""Environment variable that holds the request as JSON."""

RESULT_URL_ENV: Final = "PERFRUN_RESULT_URL"
"""Environment variable with the URL that takes the result by PUT; absent when a parent reads standard output."""

PARTIAL_QUERY: Final = "partial=1"
"""Query of that URL with which a pod hands in what it has while it goes on; the newest replaces the one before."""

TOKEN_FILE_ENV: Final = "PERFRUN_TOKEN_FILE"  # noqa: S105 -- the path of a token, not a token
"""Environment variable with the path of the projected token."""

CA_FILE_ENV: Final = "PERFRUN_CA_FILE"
"""Environment variable with the path of the certificate bundle that vouches for the operator; absent for http."""

TERMINATION_LIMIT: Final = 4096
"""Bytes that Kubernetes keeps of a termination message."""

HANDIN_SECONDS: Final = 60.0
"""Seconds for which a pod goes on trying to hand in its result; an operator that restarts is back by then."""

GRACE_SECONDS: Final = 180.0
"""Seconds that a pod needs beyond its budget: imports, building or reading the model, and the hand-in."""

FAULT_ENV: Final = "PERFRUN_FAULT"
"""Environment variable that holds a fault agent's order as JSON."""

TERMINATION_LOG_ENV: Final = "PERFRUN_TERMINATION_LOG"
"""Environment variable with the path of the termination message, where it is not Kubernetes' own."""

REPORT_PREFIX: Final = "perfrun-fault: "
"""What the line begins with that holds a fault agent's report on standard output."""

LATE_SECONDS: Final = 0.25
"""Seconds after a fault's start at which an agent still begins; one that is armed later refuses."""

LONGEST_FAULT_SECONDS: Final = 3600.0
"""Seconds that no single fault may last, whatever an order says: the last guard behind all others."""

FaultKind = Literal["isolate", "freeze", "spike", "undo"]
"""isolate: no packet enters or leaves the node. freeze: its kubelet and runtime stand still. spike: containers on it
are watched for latency spikes, and some are made. undo: only clean up."""

SpikeKind = Literal["quota", "freezer", "hog", "tbf", "nfqueue", "drop"]
"""quota: the container's CPU quota is used up. freezer: its cgroup is frozen. hog: a real-time task takes its CPU.
tbf: a token bucket holds packets on its veth. nfqueue: netfilter holds packets for a program. drop: a BPF classifier
drops them."""

SpikeStage = Literal["qdisc", "softirq", "wakeup", "runqueue", "throttled", "drop", "application", "unknown"]
"""Where in the kernel a packet, or its task, was held up; application: the task ran and did not answer."""

SPIKE_TRUTH: Final[Mapping[SpikeKind, SpikeStage]] = {
    "quota": "throttled", "freezer": "wakeup", "hog": "runqueue", "tbf": "qdisc", "nfqueue": "softirq", "drop": "drop",
}  # fmt: skip
"""The stage in which each kind of injected spike is to be found."""

FaultState = Literal["Undone", "Refused", "Clean", "Left"]
"""Undone: it happened, and was seen to be over. Refused: nothing was done. Clean: nothing is left on the node
(the answer to undo). Left: something is still there, the message says what, and undo has to be tried again."""

Outcome = Literal["Completed", "Unmeasurable", "Failed"]
"""Completed: measured. Unmeasurable: the world lacks something (no GPU, out of memory). Failed: the run broke."""


class ContractError(ValueError):
    """What arrived is not a request or result of this contract; the message says what was found instead."""


@dataclass(frozen=True)
class Request:
    """What one benchmark pod is asked to do.

    ``kind`` names the program (``sampling``), ``parameters`` are its arguments, checked by the program itself.
    ``budget_seconds`` bounds the measuring; the pod's own active deadline is somewhat longer.
    """

    run: str
    stage: str
    attempt: int
    kind: str
    parameters: dict[str, Any]
    budget_seconds: float
    version: int = VERSION

    def to_json(self) -> str:
        """Return the request as one line of JSON."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Request:
        """Read a request.

        Raises:
            ContractError: the text is no request of this version.
        """
        return cls(**_fields(text, cls, "request"))


@dataclass(frozen=True)
class Series:
    """Samples in the order in which they were taken.

    ``values`` are in ``unit``. ``starts`` are the indices at which a new round (an independent repetition) begins;
    the first is 0.
    """

    unit: str
    values: list[float]
    starts: list[int] = field(default_factory=lambda: [0])


@dataclass(frozen=True)
class Scalar:
    """One number in ``unit``, or None with the ``reason`` (a sentence) why it could not be had."""

    unit: str
    value: float | None
    reason: str = ""


@dataclass(frozen=True)
class Histogram:
    """Counts by value, where single samples would be too many.

    ``data`` is an HdrHistogram in base64 of its compressed V2 encoding. Each recorded integer times ``scale`` is a
    value in ``unit``. Histograms of several pods are merged; percentiles never are.
    """

    unit: str
    scale: float
    data: str


@dataclass(frozen=True)
class Table:
    """Numbers in rows, such as counts by window of time; each row has one number for each of ``columns``."""

    columns: list[str]
    rows: list[list[float]]


@dataclass(frozen=True)
class Attachment:
    """A file that goes with a result, such as a trace; ``data`` is its content in base64."""

    media_type: str
    data: str


@dataclass(frozen=True)
class Result:
    """What one benchmark pod measured.

    ``started`` and ``finished`` bound the measurement (seconds since the epoch; durations inside come from a
    monotonic clock). ``facts`` describe what was measured and on what: device, dtype, parameter count, versions.
    ``attachments`` are files by name. ``histograms``, ``tables`` and ``attachments`` are left out of the JSON where
    there are none, so that a reader that is older than they are reads every result that has no use for them.
    """

    run: str
    stage: str
    attempt: int
    outcome: Outcome
    started: float
    finished: float
    reason: str = ""
    message: str = ""
    series: dict[str, Series] = field(default_factory=dict)
    scalars: dict[str, Scalar] = field(default_factory=dict)
    facts: dict[str, str | int | float | bool] = field(default_factory=dict)
    histograms: dict[str, Histogram] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    attachments: dict[str, Attachment] = field(default_factory=dict)
    version: int = VERSION

    def to_json(self) -> str:
        """Return the result as one line of JSON; numbers that are not finite are refused with ValueError."""
        data = asdict(self)
        for name in ("histograms", "tables", "attachments"):
            if not data[name]:
                del data[name]
        return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Result:
        """Read a result.

        Raises:
            ContractError: the text is no result of this version, or holds numbers that are not finite.
        """
        data = _fields(text, cls, "result")
        if data["outcome"] not in ("Completed", "Unmeasurable", "Failed"):
            msg = f"the result's outcome is {data['outcome']!r}; expected Completed, Unmeasurable or Failed"
            raise ContractError(msg)
        try:
            data["series"] = {name: _series(name, each) for name, each in data.get("series", {}).items()}
            data["scalars"] = {name: Scalar(**each) for name, each in data.get("scalars", {}).items()}
            data["histograms"] = {name: Histogram(**each) for name, each in data.get("histograms", {}).items()}
            data["tables"] = {name: _table(name, each) for name, each in data.get("tables", {}).items()}
            data["attachments"] = {name: Attachment(**each) for name, each in data.get("attachments", {}).items()}
        except (TypeError, AttributeError) as error:
            msg = f"the result's series, scalars, histograms, tables or attachments are malformed: {error}"
            raise ContractError(msg) from error
        return cls(**data)

    def summary(self) -> str:
        """Return what fits into a termination message: everything but the samples, as JSON."""
        head = {
            "version": self.version, "run": self.run, "stage": self.stage, "attempt": self.attempt,
            "outcome": self.outcome, "reason": self.reason, "message": self.message[:1024],
            "samples": {name: len(each.values) for name, each in self.series.items()},
        }  # fmt: skip
        text = json.dumps(head, sort_keys=True, separators=(",", ":"))
        return text.encode()[:TERMINATION_LIMIT].decode(errors="ignore")


@dataclass(frozen=True)
class FaultOrder:
    """What one fault agent is asked to do on its own node.

    ``fault`` is lower-case letters, digits and hyphens, at most 63, and names what the agent leaves on the node while
    the fault lasts. ``starts_at`` and ``ends_at`` are seconds since the epoch by the node's clock; undo has no use for
    them. ``spike`` are the arguments of kind spike, checked by the agent itself, and empty for all others.
    """

    fault: str
    run: str
    node: str
    kind: FaultKind
    starts_at: float = 0.0
    ends_at: float = 0.0
    spike: dict[str, Any] = field(default_factory=dict)
    version: int = VERSION

    def to_json(self) -> str:
        """Return the order as one line of JSON; numbers that are not finite are refused with ValueError."""
        data = asdict(self)
        if not self.spike:
            del data["spike"]
        return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> FaultOrder:
        """Read an order.

        Raises:
            ContractError: the text is no order of this version, or one that no agent may carry out.
        """
        order = cls(**_fields(text, cls, "fault order"))
        for name in ("fault", "run", "node"):
            if not isinstance(getattr(order, name), str):
                msg = f"the fault order's {name} is {getattr(order, name)!r}; expected a string"
                raise ContractError(msg)
        if not re.fullmatch("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", order.fault):
            msg = (
                f"the fault order's fault is {order.fault!r}; "
                "expected at most 63 lower-case letters, digits and hyphens, with no hyphen at either end"
            )
            raise ContractError(msg)
        if order.kind not in get_args(FaultKind):
            msg = f"the fault order's kind is {order.kind!r}; expected one of {', '.join(get_args(FaultKind))}"
            raise ContractError(msg)
        for name in ("starts_at", "ends_at"):
            if not _finite(getattr(order, name)):
                msg = f"the fault order's {name} is {getattr(order, name)!r}; expected seconds since the epoch"
                raise ContractError(msg)
        seconds = order.ends_at - order.starts_at
        if order.kind != "undo" and not 0 < seconds <= LONGEST_FAULT_SECONDS:
            msg = (
                f"the fault order lasts {seconds:g} s from starts_at to ends_at; "
                f"expected more than 0 and at most {LONGEST_FAULT_SECONDS:g} s"
            )
            raise ContractError(msg)
        return order


@dataclass(frozen=True)
class FaultReport:
    """What one fault agent did, and what it saw.

    ``injected_at`` and ``undone_at`` are seconds since the epoch by the node's clock, each taken right after the fact;
    ``reason`` is one CamelCase word and ``message`` a sentence. ``proof`` is a sentence of what was looked at
    afterwards, and what was seen.
    """

    fault: str
    node: str
    kind: str
    state: FaultState
    injected_at: float | None = None
    undone_at: float | None = None
    reason: str = ""
    message: str = ""
    proof: str = ""
    version: int = VERSION

    def to_json(self) -> str:
        """Return the report as one line of JSON that fits into a termination message; long sentences are cut."""
        room = 1024
        while True:
            data = {name: each[:room] if isinstance(each, str) else each for name, each in asdict(self).items()}
            text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
            if len(text) <= TERMINATION_LIMIT:
                return text
            room //= 2

    @classmethod
    def from_json(cls, text: str) -> FaultReport:
        """Read a report.

        Raises:
            ContractError: the text is no report of this version.
        """
        report = cls(**_fields(text, cls, "fault report"))
        if report.state not in get_args(FaultState):
            msg = f"the fault report's state is {report.state!r}; expected one of {', '.join(get_args(FaultState))}"
            raise ContractError(msg)
        for name in ("injected_at", "undone_at"):
            value = getattr(report, name)
            if value is not None and not _finite(value):
                msg = f"the fault report's {name} is {value!r}; expected seconds since the epoch, or nothing"
                raise ContractError(msg)
        return report


def _finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _fields(text: str, cls: type[Any], noun: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except ValueError as error:
        msg = f"expected a {noun} as JSON, found {text[:80]!r}"
        raise ContractError(msg) from error
    if not isinstance(data, dict):
        msg = f"expected a {noun} as a JSON object, found {type(data).__name__}"
        raise ContractError(msg)
    if data.get("version") != VERSION:
        msg = f"expected a {noun} of contract version {VERSION}, found version {data.get('version')!r}"
        raise ContractError(msg)
    known = cls.__dataclass_fields__
    unknown, missing = sorted(set(data) - set(known)), sorted(_required(known) - set(data))
    if unknown or missing:
        msg = f"malformed {noun}: unknown fields {unknown}, missing fields {missing}"
        raise ContractError(msg)
    return data


def _required(known: dict[str, Any]) -> set[str]:
    return {name for name, each in known.items() if each.default is MISSING and each.default_factory is MISSING}


def _series(name: str, data: dict[str, Any]) -> Series:
    series = Series(**data)
    if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in series.values):
        msg = f"series {name!r} holds a value that is not a finite number"
        raise ContractError(msg)
    return series


def _table(name: str, data: dict[str, Any]) -> Table:
    table = Table(**data)
    width = len(table.columns)
    for row in table.rows:
        if len(row) != width or not all(isinstance(each, (int, float)) and math.isfinite(each) for each in row):
            msg = f"table {name!r} has a row that is not {width} finite numbers, one for each column"
            raise ContractError(msg)
    return table
