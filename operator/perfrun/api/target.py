"""PerfTarget: what is under test, how it is reached, and what the platform team permits."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from perfrun.api.base import JSON, Model
from perfrun.api.chaos import Chaos
from perfrun.api.durations import Duration
from perfrun.api.network import Network, Spikes
from perfrun.api.optimization import LowPrecision, Memory
from perfrun.api.service import Load, Service
from perfrun.api.telemetry import Forecast, Telemetry


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


ResourceQuantity = Annotated[
    str, BeforeValidator(_as_text), WithJsonSchema({"x-kubernetes-int-or-string": True, "maxLength": 64})
]
"""A Kubernetes quantity such as 500m, 4 or 8Gi; a bare number is taken for its text."""


class ModelSize(Model):
    """One model that features may name by its size."""

    hidden_size: int = Field(gt=0, description="Width of the decoder.")
    intermediate_size: int = Field(gt=0, description="Width of the feed-forward layers.")
    layers: int = Field(gt=0, description="Number of decoder layers.")
    heads: int = Field(gt=0, description="Attention heads.")
    kv_heads: int = Field(gt=0, description="Key-value heads (grouped-query attention).")
    vocab_size: int = Field(gt=1, description="Size of the vocabulary.")

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.hidden_size % self.heads:
            raise ValueError("hiddenSize must be a multiple of heads; change one of the two")
        if self.heads % self.kv_heads:
            raise ValueError("heads must be a multiple of kvHeads; change one of the two")
        return self


class EngineModel(Model):
    """Which model stands behind a size that the feature names."""

    config: ModelSize | None = Field(default=None, description="Explicit Llama architecture with seeded weights.")
    path: str | None = Field(
        default=None, min_length=1, max_length=4096, description="Directory with safetensors weights inside the pod."
    )
    name: str | None = Field(
        default=None, min_length=1, max_length=256, description="Model name as an OpenAI-compatible server knows it."
    )

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.config is not None and self.path is not None:
            raise ValueError(
                "config and path exclude each other: a model is either built or loaded; set one of the two"
            )
        return self


class SamplingOptions(Model):
    """How the next token is drawn."""

    temperature: float = Field(default=1.0, ge=0, description="0 is greedy decoding.")
    top_k: int = Field(default=50, ge=0, description="Number of most likely tokens kept; 0 keeps all.")
    top_p: float = Field(default=0.95, gt=0, le=1, description="Probability mass kept.")
    min_p: float = Field(
        default=0.0, ge=0, lt=1, description="Least probability kept, relative to the likeliest token."
    )
    repetition_penalty: float = Field(default=1.1, gt=0, description="Divides the logits of tokens already drawn.")
    presence_penalty: float = Field(
        default=0.0, ge=-2, le=2, description="Taken from the logits of tokens already generated."
    )
    seed: int = Field(default=0, ge=0, description="Seed of the draw; the same seed repeats the same tokens.")


class LLM(Model):
    """The large language model under test."""

    engine: Literal["builtin", "openai"] = Field(
        default="builtin", description="builtin runs a decoder inside the benchmark pod; openai streams from a server."
    )
    url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        max_length=2048,
        description="Base URL of the OpenAI-compatible server, ending in /v1.",
    )
    api_key_secret: str | None = Field(
        default=None,
        max_length=253,
        description="Name of a Secret in the run's namespace whose key 'apiKey' authorises the client.",
    )
    server: Literal["", "vllm", "sglang", "tgi", "llamacpp", "triton"] = Field(
        default="", description="What the server is, so that its own metrics can be read beside what its clients see."
    )
    metrics_url: str | None = Field(
        default=None, pattern=r"^https?://", max_length=2048,
        description="Where the server shows its metrics; left out, /metrics beside the API.",
    )  # fmt: skip
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Device of the builtin engine; auto takes a GPU where there is one."
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="Number format of the builtin engine's weights."
    )
    models: dict[str, EngineModel] = Field(
        default_factory=dict,
        max_length=32,
        description="Models by the size that features name; sizes left out get built-in defaults.",
    )
    sampling: SamplingOptions = Field(default=SamplingOptions(), description="How the next token is drawn.")
    budget: Duration = Field(default="60s", description="Longest measuring time of one scenario.")

    @model_validator(mode="after")
    def _metrics_of_a_server(self) -> Self:
        if self.metrics_url and not self.server:
            raise ValueError("metricsUrl is read only where server says what the server is; set server, too")
        return self


class Prometheus(Model):
    """The server that answers queries."""

    url: str = Field(
        min_length=1, max_length=2048, pattern=r"^https?://", description="Base URL of a Prometheus-compatible server."
    )
    timeout: Duration = Field(default="10s", description="Longest time for one query.")
    step: Duration = Field(default="5s", description="Resolution of range queries.")


class Metric(Model):
    """A named metric: a new subject for Then-steps, answered by PromQL."""

    name: str = Field(
        min_length=1, max_length=128,
        description="The words that features use, such as 'checkout error ratio'; a part in braces, as in "
        "'error ratio of {service}', takes a quoted value that replaces $service in the query.",
    )  # fmt: skip
    query: str = Field(
        min_length=1, max_length=4096,
        description="PromQL template. $window becomes the window's length (four steps at each point of a claim that "
        "must 'stay' or 'remain'), $step the resolution; a parameter may stand only inside a "
        "quoted label value.",
    )  # fmt: skip
    unit: str = Field(max_length=40, description="Unit of the query's value, such as s, ms, %, ratio, 1/s or GB.")
    window: Duration = Field(
        default="5m", description="Length of the window where the scenario itself lasts for no stated time."
    )
    min_samples: int = Field(default=1, ge=1, description="Fewest points that count as data.")


class Pods(Model):
    """How benchmark pods are made."""

    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        description="Image of benchmark pods; left out, the operator's setting.",
    )
    command: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Command of benchmark pods; left out, the operator's setting.",
    )
    runtime_class_name: str | None = Field(default=None, description="RuntimeClass of benchmark pods.")
    node_selector: dict[str, str] = Field(
        default_factory=dict, max_length=64, description="Labels of nodes that may run them."
    )
    tolerations: tuple[dict[str, JSON], ...] = Field(default=(), max_length=64, description="Tolerations, as in a Pod.")
    resources: dict[str, dict[str, ResourceQuantity]] = Field(
        default_factory=dict, max_length=3, description="Container resources (requests and limits), as in a Pod."
    )
    gpu_resource: str = Field(
        default="nvidia.com/gpu", min_length=1, max_length=253, description="Extended resource that stands for a GPU."
    )
    gpus: int = Field(default=0, ge=0, le=64, description="GPUs that a benchmark pod asks for.")
    resource_claim_template: str | None = Field(
        default=None, max_length=253,
        description="Name of a ResourceClaimTemplate in the run's namespace; with it, GPUs are claimed from a DRA "
        "driver, and gpuResource is not asked for.",
    )  # fmt: skip
    service_account_name: str | None = Field(default=None, description="Service account of benchmark pods.")
    image_pull_secrets: tuple[str, ...] = Field(default=(), max_length=16, description="Names of image pull Secrets.")
    start_timeout: Duration = Field(
        default="5m", description="Longest time from a pod's creation to its start; past it the attempt is given up."
    )
    attempts: int = Field(
        default=2, ge=1, le=10, description="Attempts for a pod that is lost through no fault of its own."
    )


class TargetSpec(Model):
    """What is under test, how it is reached, and what is permitted."""

    llm: LLM | None = Field(default=None, description="Large language model under test.")
    service: Service | None = Field(default=None, description="Service under load.")
    load: Load = Field(default=Load(), description="How traffic to the Service is made.")
    prometheus: Prometheus | None = Field(default=None, description="Where metrics are read.")
    metrics: tuple[Metric, ...] = Field(
        default=(), max_length=128, description="Named metrics: subjects for Then-steps."
    )
    pods: Pods = Field(default=Pods(), description="How benchmark pods are made.")
    chaos: Chaos = Field(default=Chaos(), description="What faults may do.")
    network: Network = Field(default=Network(), description="How the container network is measured.")
    spikes: Spikes = Field(default=Spikes(), description="How latency spikes are made and looked for.")
    telemetry: Telemetry = Field(default=Telemetry(), description="What the monitoring system should have recorded.")
    forecast: Forecast = Field(default=Forecast(), description="Which histories are foretold.")
    low_precision: LowPrecision = Field(default=LowPrecision(), description="How low precision is compared.")
    memory: Memory = Field(default=Memory(), description="How memory is watched.")
    selector: dict[str, str] = Field(
        default_factory=dict,
        max_length=64,
        description="Labels of the pods under test in this namespace; their image digests are recorded as the "
        "revision and must not change during a run.",
    )


class TargetStatus(Model):
    """What perfrun makes of the target."""

    observed_generation: int = Field(default=-1, description="Generation that this status describes.")
    message: str = Field(default="", description="What is wrong with the target, or empty.")
    conditions: tuple[dict[str, JSON], ...] = Field(
        default=(), description="Conditions; Ready says whether it is usable."
    )
