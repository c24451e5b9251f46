"""What is wrong with a PerfTarget beyond its schema, found once for admission, status and the command line.

Each rule looks at one part and tells everything that is wrong with it; a sentence names the field, what was found, and
what to do.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from perfrun.api.chaos import Window
from perfrun.api.durations import seconds
from perfrun.api.feature import Schedule
from perfrun.api.service import Service
from perfrun.api.target import Metric, TargetSpec
from perfrun.capabilities.history import key_of
from perfrun.capabilities.words.custom import PARAMETER
from perfrun.language.quantities import QuantityError, canonical
from perfrun.manifests import external
from perfrun.measuring.promql import TemplateError, check
from perfrun.planning.schedule import check_schedule
from perfrun_kernels.contract import LONGEST_FAULT_SECONDS

_SCRAPES: Final = 4
"""Points that a rate over a stretch of load needs."""

_SHORTEST_WINDOW: Final = 0.01
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OURS: Final = frozenset({"x-request-id", "content-length", "transfer-encoding", "connection", "host"})
"""Headers that the generator sets itself, or that would break its requests."""


def target_problems(spec: TargetSpec) -> tuple[str, ...]:
    """Return one sentence for everything that features could not use, or that could never happen."""
    return tuple(problem for rule in RULES for problem in rule(spec))


def _metrics(spec: TargetSpec) -> Iterator[str]:
    names = [metric.name for metric in spec.metrics]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"metric {name!r} is there twice; give each metric its own name"
    for metric in spec.metrics:
        yield from _metric(metric)


def _metric(metric: Metric) -> Iterator[str]:
    try:
        canonical(metric.unit)
        check(metric.query, frozenset(PARAMETER.findall(metric.name)))
    except (QuantityError, TemplateError) as error:
        yield f"metric {metric.name!r}: {error}"


def _service(spec: TargetSpec) -> Iterator[str]:
    service = spec.service
    if service is None:
        return
    for name, value in service.headers.items():
        if _TOKEN.fullmatch(name) is None:
            yield f"service.headers: {name!r} is not the name of a header; expected letters, digits and hyphens"
        elif name.lower() in _OURS:
            yield f"service.headers: {name} is set by the generator itself; leave it out"
        elif not value.isprintable():
            yield f"service.headers: the value of {name} holds a line break or a control character; take it out"
    if _TOKEN.fullmatch(service.served_by_header) is None:
        yield (
            f"service.servedByHeader: {service.served_by_header!r} is not the name of a header; expected letters, "
            "digits and hyphens"
        )
    for size, request in service.sizes.items():
        if not request.path.isprintable() or " " in request.path:
            yield f"service.sizes.{size}.path: {request.path!r} holds a blank or a control character; escape it (%20)"
    yield from _request_log(service)


def _request_log(service: Service) -> Iterator[str]:
    if service.request_log is None:
        return
    try:
        groups = re.compile(service.request_log.good).groupindex
    except re.error as error:
        yield f"service.requestLog.good: {service.request_log.good!r} is not a regular expression: {error}"
        return
    if "id" not in groups:
        yield (
            f"service.requestLog.good: {service.request_log.good!r} has no group named id; write (?P<id>…) around the "
            "X-Request-Id of a good answer"
        )


def _load(spec: TargetSpec) -> Iterator[str]:
    if spec.service is None:
        return
    load = spec.load
    lengths = {
        "deadline": load.deadline, "attemptTimeout": load.attempt_timeout, "lead": load.lead,
        "baseline": load.baseline, "step": load.step, "sustained": load.sustained, "window": load.window,
    }  # fmt: skip
    none = [name for name, length in lengths.items() if seconds(length) == 0]
    yield from (f"load.{name}: found {lengths[name]}; expected a length of time above zero" for name in none)
    if none:
        return
    window, sustained = seconds(load.window), seconds(load.sustained)
    if window < _SHORTEST_WINDOW:
        yield f"load.window: found {load.window}; the timeline has no resolution below 10ms, so give that or more"
    if sustained < window:
        yield f"load.sustained: {load.sustained} is shorter than one window of {load.window}; give several windows"
    if seconds(load.backoff) >= seconds(load.deadline) and load.retries:
        yield (
            f"load.backoff: {load.backoff} is no shorter than load.deadline ({load.deadline}), so that no retry is "
            "ever made; shorten it, or set load.retries to 0"
        )
    if seconds(load.deadline) > seconds(load.step):
        yield (
            f"load.deadline: {load.deadline} is longer than load.step ({load.step}): its traffic is over before any "
            "request can be late; shorten the deadline or lengthen the step"
        )
    for name, length in (("baseline", load.baseline), ("step", load.step)):
        if load.rate * seconds(length) < 1:
            yield (
                f"load.rate: {load.rate:g} per second gives less than one request within load.{name} ({length}); "
                "raise the rate or lengthen it"
            )
    if spec.prometheus is not None and seconds(load.step) < _SCRAPES * seconds(spec.prometheus.step):
        yield (
            f"load.step: {load.step} is less than {_SCRAPES} times prometheus.step ({spec.prometheus.step}), which is "
            "too little to tell CPU by; lengthen load.step, or shorten prometheus.step if Prometheus scrapes as often"
        )


def _chaos(spec: TargetSpec) -> Iterator[str]:
    chaos = spec.chaos
    if chaos.backend != "native":
        if refusal := external.supported(chaos.backend, chaos.kind):
            yield refusal
        elif chaos.backend == "litmus" and not chaos.service_account_name:
            yield (
                "chaos.serviceAccountName: Litmus runs its experiments as a service account, and none is named; name "
                "the one that may run them in the Service's namespace"
            )
    if seconds(chaos.max_duration) == 0:
        yield "chaos.maxDuration: found 0, so that no fault may last; give a length of time above zero"
    elif seconds(chaos.max_duration) > LONGEST_FAULT_SECONDS and chaos.backend == "native":
        yield (
            f"chaos.maxDuration: {chaos.max_duration} is longer than any fault agent agrees to; expected at most "
            f"{LONGEST_FAULT_SECONDS / 60:.0f}m"
        )
    for index, window in enumerate(chaos.windows):
        yield from (f"chaos.windows[{index}]: {problem}" for problem in _window(window))
    if not chaos.allowed:
        return
    if chaos.max_nodes == 0 or chaos.max_share == 0:
        name = "maxNodes" if chaos.max_nodes == 0 else "maxShare"
        yield f"chaos.allowed is true, but chaos.{name} is 0, so that no node may ever fail; raise it or forbid chaos"
    if spec.service is None:
        yield "chaos.allowed is true, but there is no service whose nodes could fail; add spec.service or forbid chaos"


def _window(window: Window) -> Iterator[str]:
    if problem := check_schedule(Schedule(cron=window.cron, time_zone=window.time_zone)):
        yield problem
    if seconds(window.length) == 0:
        yield "length: found 0, so that it is never open; give a length of time above zero"


def _telemetry(spec: TargetSpec) -> Iterator[str]:
    yield from _named("telemetry.metrics", spec.telemetry.metrics)
    for name, recorded in spec.telemetry.metrics.items():
        place = f"telemetry.metrics.{name}"
        for selector in recorded.series:
            if "$" in selector:
                yield f"{place}.series: {selector!r} holds a variable; expected a selector such as node_load1"
        if recorded.per == "pod" and spec.service is None:
            yield f"{place}.per: pod means the pods of the Service, and there is none; add spec.service or change per"


def _forecast(spec: TargetSpec) -> Iterator[str]:
    forecast = spec.forecast
    yield from _named("forecast.metrics", forecast.metrics)
    if seconds(forecast.lookback) == 0:
        yield "forecast.lookback: found 0, so that there is no history; give a length of time above zero"
    for name, foretold in forecast.metrics.items():
        yield from _query(f"forecast.metrics.{name}", foretold.query)
        try:
            canonical(foretold.unit)
        except QuantityError as error:
            yield f"forecast.metrics.{name}.unit: {error}"
    for name, resource in forecast.resources.items():
        queries = {"utilization": resource.utilization, "saturation": resource.saturation, "errors": resource.errors}
        for part, query in queries.items():
            yield from _query(f"forecast.resources.{name}.{part}", query)
    yield from _query("forecast.deployments", forecast.deployments)
    yield from _query("forecast.concurrency", forecast.concurrency)


def _pods(spec: TargetSpec) -> Iterator[str]:
    if spec.pods.resource_claim_template and not spec.pods.gpus:
        yield (
            "pods.resourceClaimTemplate names a claim of GPUs, but pods.gpus is 0, so that no pod asks for one; "
            "say in pods.gpus how many the template claims"
        )


def _memory(spec: TargetSpec) -> Iterator[str]:
    wanted = spec.memory
    if seconds(wanted.soak) == 0:
        yield "memory.soak: found 0, so that nothing is watched; give a length of time above zero"
    tokens = wanted.prefix_tokens + wanted.unique_tokens + wanted.num_tokens
    needed = wanted.batch_size * math.ceil(tokens / wanted.block_tokens) + 1
    if wanted.blocks < needed:
        yield (
            f"memory.blocks: {wanted.blocks} blocks of {wanted.block_tokens} tokens are fewer than one batch may need; "
            f"give at least {needed}, or make batchSize smaller"
        )


def _query(place: str, query: str | None) -> Iterator[str]:
    try:
        check(query or "")
    except TemplateError as error:
        yield f"{place}: {error}"


def _named(place: str, metrics: Iterable[str]) -> Iterator[str]:
    """Tell which names would be the same in a result, where only letters, digits and underscores stand."""
    found: dict[str, str] = {}
    for name in metrics:
        key = key_of(name)
        if not key:
            yield f"{place}: {name!r} has no letter or digit; give the metric a name that can be said"
        elif key in found:
            yield f"{place}: {found[key]!r} and {name!r} differ only in case or signs; rename one"
        found[key] = name


RULES: Final[tuple[Callable[[TargetSpec], Iterator[str]], ...]] = (
    _metrics, _service, _load, _chaos, _telemetry, _forecast, _pods, _memory,
)  # fmt: skip
