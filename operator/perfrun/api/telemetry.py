"""What a monitoring system should have recorded, and which of its histories are to be foretold."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from perfrun.api.base import Model
from perfrun.api.durations import Duration

Query = Annotated[str, Field(min_length=1, max_length=4096)]


class Recorded(Model):
    """Where the samples of one type of metric are."""

    series: tuple[Query, ...] = Field(
        min_length=1, max_length=16,
        description='Selectors of series, such as node_load1 or up{job="node"}, in the order in which they are '
        "tried: the first that a server has samples of is taken.",
    )  # fmt: skip
    per: Literal["node", "gpuNode", "pod", "any"] = Field(
        default="any",
        description="What should have a series: every node, every node with a GPU, every pod of the Service, or no "
        "matter what.",
    )
    label: str = Field(
        default="", max_length=128,
        description="Label that holds the name of the node or pod; left out, the usual ones are tried.",
    )  # fmt: skip


class Telemetry(Model):
    """What a monitoring system should have recorded."""

    metrics: dict[str, Recorded] = Field(
        default_factory=dict, max_length=32,
        description="Where the samples are, by the type of metric that features name, such as 'CPU utilization'; types "
        "left out get what cAdvisor, node-exporter, DCGM's exporter and the blackbox exporter call them.",
    )  # fmt: skip
    window: Literal["auto", "recorded", "observed"] = Field(
        default="auto",
        description="Which stretch of time is judged: recorded is the one that has just passed, observed the one that "
        "begins with the run; auto takes the recorded one where the server's history covers it.",
    )
    completeness: float = Field(
        default=0.99, gt=0, le=1, description="Least share of a series' expected samples that must be there."
    )


class Foretold(Model):
    """One history that is to be foretold."""

    query: Query = Field(
        description="PromQL that gives one series; $window becomes the time between two points of the history."
    )
    unit: str = Field(default="", max_length=40, description="Unit of its values, such as s, 1/s or cores.")


class Resource(Model):
    """One resource that may be the bottleneck; each query gives one series, or one for each of its instances."""

    utilization: Query = Field(description="PromQL of its use as a ratio, 0 to 1.")
    saturation: Query | None = Field(default=None, description="PromQL of work that waits for it, 0 where none does.")
    errors: Query | None = Field(default=None, description="PromQL of its errors per second.")


class Forecast(Model):
    """Which histories are to be foretold, and from how much of them."""

    metrics: dict[str, Foretold] = Field(
        default_factory=dict, max_length=16,
        description="Histories by the metric that features name, such as 'Response time'; those left out get the usual "
        "HTTP and cAdvisor metrics.",
    )  # fmt: skip
    lookback: Duration = Field(default="35d", description="How far back history is read.")
    windows: int = Field(default=20, ge=5, le=200, description="Backtest windows.")
    deployments: Query | None = Field(
        default=None, description="PromQL whose changes are deployments: level shifts are looked for there first."
    )
    resources: dict[str, Resource] = Field(
        default_factory=dict, max_length=32,
        description="Resources that are ranked by which saturates first; none: CPU, memory, network, disk and GPUs of "
        "the nodes.",
    )  # fmt: skip
    concurrency: Query | None = Field(
        default=None,
        description="PromQL of requests in flight, for the scalability law; left out, throughput times response time.",
    )
    keep: int = Field(default=100, ge=1, le=1000, description="Forecasts kept for each metric.")
