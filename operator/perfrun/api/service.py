"""The Service under load: how it is reached, what traffic is normal for it, and what it lets a run see and change."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from perfrun.api.base import Model
from perfrun.api.durations import Duration, seconds


class RequestSize(Model):
    """What one request of a size looks like."""

    path: str = Field(default="/", pattern=r"^/", max_length=2048, description="Path of the request.")
    method: str = Field(default="GET", pattern=r"^[A-Z]+$", max_length=16, description="HTTP method.")
    body_bytes: int = Field(default=0, ge=0, le=67_108_864, description="Bytes of the request's body.")


class Workload(Model):
    """What runs behind the Service, and may be scaled to the number of nodes that a scenario names."""

    kind: Literal["Deployment", "StatefulSet"] = Field(default="Deployment", description="Kind of the workload.")
    name: str = Field(min_length=1, max_length=253, description="Its name, in the Service's namespace.")
    timeout: Duration = Field(default="2m", description="Longest time until all of its pods are ready.")


class RequestLog(Model):
    """Where the servers write down which requests they answered."""

    container: str = Field(min_length=1, max_length=63, description="Container whose log holds the request ids.")
    good: str = Field(
        default=r"(?P<id>\S+) [23]\d\d$", min_length=1, max_length=512,
        description="Regular expression that finds a line about a good answer, with a group named id for its "
        "X-Request-Id.",
    )  # fmt: skip


class Service(Model):
    """The Service under load."""

    name: str = Field(min_length=1, max_length=63, description="Name of the Service.")
    namespace: str | None = Field(default=None, max_length=63, description="Its namespace; left out, the run's own.")
    port: int = Field(default=80, ge=1, le=65535, description="Port of the Service.")
    scheme: Literal["http", "https"] = Field(default="http", description="Protocol of the Service.")
    http: Literal["1.1", "2"] = Field(default="1.1", description="Version of HTTP.")
    insecure: bool = Field(default=False, description="true accepts any certificate.")
    headers: dict[str, str] = Field(default_factory=dict, max_length=32, description="Headers of every request.")
    sizes: dict[Literal["small", "medium", "large"], RequestSize] = Field(
        default_factory=dict, description="Requests by the size that features name; sizes left out are GET /."
    )
    served_by_header: str = Field(
        default="X-Served-By", min_length=1, max_length=128,
        description="Response header with the name of the pod or node that answered.",
    )  # fmt: skip
    request_log: RequestLog | None = Field(
        default=None,
        description="Where servers log request ids; without it only the client counts drops.",
    )
    workload: Workload | None = Field(
        default=None, description="What may be scaled to the number of nodes that a scenario names, and back."
    )


class Load(Model):
    """How traffic is made."""

    rate: float = Field(default=1000, gt=0, le=1e7, description="Requests per second that are normal.")
    size: Literal["small", "medium", "large"] = Field(default="small", description="Size of normal requests.")
    arrivals: Literal["poisson", "constant"] = Field(default="poisson", description="Spacing of the schedule.")
    connection: Literal["keep-alive", "new"] = Field(
        default="keep-alive", description="keep-alive reuses connections; new opens one for each request."
    )
    connections: int = Field(default=64, ge=1, le=65536, description="Connections of each generator at first.")
    requests_per_connection: int = Field(
        default=100,
        ge=0,
        description="Requests after which a connection is closed, so that new ones are spread; 0: never.",
    )
    deadline: Duration = Field(default="5s", description="By when a request must be answered, retries included.")
    attempt_timeout: Duration = Field(default="500ms", description="Longest time for one attempt.")
    retries: int = Field(default=5, ge=0, le=20, description="Most retries of one request.")
    retry_budget: float = Field(default=0.2, ge=0, le=1, description="Retries as a share of the requests, at most.")
    backoff: Duration = Field(default="10ms", description="Pause before the first retry; it doubles.")
    shards: int = Field(default=1, ge=1, le=100, description="Generator pods that share the rate.")
    loops: int = Field(default=1, ge=1, le=64, description="Threads of each generator.")
    node_selector: dict[str, str] = Field(
        default_factory=dict, max_length=64, description="Nodes for generators, beside those that the pods name."
    )
    lead: Duration = Field(default="8s", description="Time for generators to start and to prove their rate.")
    baseline: Duration = Field(default="10s", description="Normal traffic before anything changes.")
    step: Duration = Field(
        default="25s", description="Length of increased traffic; CPU needs four scrapes, so no less than those take."
    )
    sustained: Duration = Field(default="3s", description="How long all must be well again to count as recovered.")
    window: Duration = Field(default="100ms", description="Resolution of the timeline.")
    seed: int = Field(default=0, ge=0, description="Seed of the schedule.")
    drop_resolution: float = Field(
        default=1e-4, gt=0, lt=1,
        description="Share of dropped requests that must be caught at the policy's confidence; it sets the length of a "
        "fault: 1e-4 at 0.99 takes 46 050 requests.",
    )  # fmt: skip

    @model_validator(mode="after")
    def _attempts_fit(self) -> Self:
        if seconds(self.attempt_timeout) > seconds(self.deadline):
            raise ValueError("attemptTimeout is longer than deadline; an attempt must end before the request does")
        return self
