"""``perfrun telemetry rules``: the configuration with which a Prometheus records what a feature asks for.

What it prints can be loaded as it is. What it cannot know, such as how long a server keeps its samples or what else
scrapes the same exporters, stands in comments above.
"""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import attrs
import typer
import yaml
from pydantic import ValidationError

from perfrun.api.durations import seconds
from perfrun.api.target import TargetSpec
from perfrun.capabilities.history import key_of
from perfrun.capabilities.registry import vocabularies
from perfrun.capabilities.usual_series import foretold
from perfrun.capabilities.words import forecast, telemetry
from perfrun.cli.access import ContextOption, KubeconfigOption, NamespaceOption, connected, missing
from perfrun.cli.inputs import DEFAULT_TARGET, check_feature, read_bytes
from perfrun.cli.stop import Stop
from perfrun.cli.targets import read_target
from perfrun.language import quantities
from perfrun.language.read import read_feature
from perfrun.manifests import prometheus_operator, scraping
from perfrun.manifests.recording import History, groups, series_of
from perfrun.manifests.scraping import Row, Surroundings, duration, jobs
from perfrun.ports import Unavailable

app = typer.Typer(add_completion=False, no_args_is_help=True)

_WIDE: Final = 1_000_000


class Form(StrEnum):
    """Whose configuration it is."""

    PROMETHEUS = "prometheus"
    OPERATOR = "operator"


class Part(StrEnum):
    """Which part of it."""

    ALL = "all"
    SCRAPE = "scrape"
    RULES = "rules"


@attrs.frozen
class Asked:
    """What a feature asks a Prometheus to have, and where it is found.

    ``stated`` are the types of metrics whose series the target names itself; ``seconds`` is how long samples are kept.
    """

    rows: tuple[Row, ...]
    stated: tuple[str, ...]
    histories: tuple[History, ...]
    seconds: float
    around: Surroundings


@app.callback()
def _root() -> None:
    """What a monitoring system has to record."""


@app.command()
def rules(
    file: Annotated[
        str | None, typer.Argument(metavar="[FEATURE]", help="Feature file, or -; without it, the usual six metrics.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="File with a PerfTarget, or the name of one in a cluster.")] = None,
    form: Annotated[Form, typer.Option(help="Prometheus' own files, or objects of the Prometheus Operator.")] = (
        Form.PROMETHEUS
    ),
    part: Annotated[Part, typer.Option(help="Scrape configuration, recording rules, or all.")] = Part.ALL,
    prober: Annotated[
        str, typer.Option(help="Address of a blackbox exporter.")
    ] = "blackbox-exporter.monitoring.svc:9115",
    monitoring: Annotated[
        str, typer.Option("--monitoring-namespace", help="Namespace of the operator's objects.")
    ] = "monitoring",
    label: Annotated[
        list[str] | None, typer.Option(help="Label KEY=VALUE by which a Prometheus object selects them; repeatable.")
    ] = None,
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Print the scrape and recording configuration with which a Prometheus would have what a feature asks for."""
    spec, home = _target(target, namespace, kubeconfig, context)
    found = asked(file, spec, home, prober)
    if form is Form.OPERATOR:
        typer.echo(as_objects(found, part, monitoring, _labels(label or ())), nl=False)
    else:
        typer.echo(as_files(found, part), nl=False)


def asked(file: str | None, target: TargetSpec, namespace: str, prober: str) -> Asked:
    """Return what a feature asks for; without one, the usual types of metrics at the usual intervals.

    Raises:
        Stop: the feature is not sound, or asks nothing of a Prometheus.
    """
    rows: tuple[Row, ...] = scraping.USUAL
    ahead: tuple[str, ...] = ()
    if file is not None:
        text = check_feature(file, read_bytes(file), target, "")
        rows, ahead = _rows(text, target), _foretold(text, target)
        if not rows and not ahead:
            raise Stop(
                f"{file} asks nothing of a monitoring system; expected a step such as 'the following metrics should be "
                "recorded:' with its table"
            )
    served = target.service
    return Asked(
        rows=tuple(row for row in rows if row.name not in target.telemetry.metrics),
        stated=tuple(row.name for row in rows if row.name in target.telemetry.metrics),
        histories=tuple(History(key_of(name), foretold(target, name).query) for name in ahead),
        seconds=max(scraping.retention(rows), seconds(target.forecast.lookback) if ahead else 0),
        around=Surroundings(prober, service=(served.namespace or namespace, served.name) if served else None),
    )


def as_files(found: Asked, part: Part) -> str:
    """Return it as Prometheus reads it: a file of scrape_config_files, and one of rule_files."""
    documents = []
    if part is not Part.RULES:
        kept = f"--storage.tsdb.retention.time={duration(found.seconds)}"
        told = (
            "List this file in scrape_config_files of prometheus.yml.",
            f"Start Prometheus with {kept}, or a longer time, and without a limit of size.",
            "Its account has to list and watch nodes, pods, services and endpointslices.",
            *notes(found),
        )
        documents.append(_commented(told) + _yaml({"scrape_configs": jobs(found.rows, found.around)}))
    if part is not Part.SCRAPE:
        told = ("List this file in rule_files of prometheus.yml.", *_of_histories(found))
        recorded = groups(found.rows, found.histories, found.around.service)
        documents.append(_commented(told) + _yaml({"groups": recorded}))
    return "---\n".join(documents)


def as_objects(found: Asked, part: Part, namespace: str, chosen: dict[str, str]) -> str:
    """Return it as kubectl applies it where the Prometheus Operator runs."""
    scraped = jobs(found.rows, found.around) if part is not Part.RULES else []
    recorded = groups(found.rows, found.histories, found.around.service) if part is not Part.SCRAPE else []
    told = (
        f"The Prometheus object needs spec.retention: {duration(found.seconds)}, or longer, and no spec.retentionSize.",
        "It has to select these (spec.scrapeConfigSelector, spec.ruleSelector); --label adds labels for that.",
        *notes(found),
        *_of_histories(found),
    )
    made = prometheus_operator.objects(scraped, recorded, namespace, chosen)
    return _commented(told) + "---\n".join(_yaml(each) for each in made)


def notes(found: Asked) -> tuple[str, ...]:
    """Return what has to be so besides what can be configured, a sentence each."""
    names = {row.name for row in found.rows}
    usual = names - {scraping.LATENCY, scraping.GPU}
    told = [
        f"{name} is where spec.telemetry.metrics says: whatever scrapes that has to do so as often as is stated."
        for name in found.stated
    ]
    if usual:
        told.append(f"node-exporter listens on port {scraping.NODE_PORT} of every node, with its usual collectors.")
    if scraping.LATENCY in names:
        told.append(
            f"A blackbox exporter listens at {found.around.prober} (--prober), may send ICMP (NET_RAW) and has the "
            f"module `{scraping.PING}: {{prober: icmp}}`."
        )
    if scraping.GPU in names:
        told.append(
            "DCGM's exporter reads GPUs every 30 s by itself: set DCGM_EXPORTER_INTERVAL to 15000 (ms) or less."
        )
    if names:
        told.append(
            "Where another job scrapes the same exporters less often, its series count too: take them out of that "
            "job, or name the series to be judged in spec.telemetry.metrics, as "
            'node_memory_MemAvailable_bytes{job="perfrun-node"}.'
        )
    return tuple(told)


def _of_histories(found: Asked) -> tuple[str, ...]:
    if not found.histories:
        return ()
    named = f"avg_over_time({series_of(found.histories[0])}[$window])"
    told = (
        "Histories are recorded once in five minutes; a target whose spec.forecast.metrics asks for them, as in "
        f"{named}, is answered faster."
    )
    return (told,)


def _rows(text: str, target: TargetSpec) -> tuple[Row, ...]:
    """Return each type of metric once, with the shortest interval and the longest retention that is asked of it."""
    found: dict[str, Row] = {}
    for row in _table(text, target, telemetry.NAME, "recorded"):
        name = row["metric_type"]
        interval, kept = (quantities.convert(row[column], "s") for column in ("sampling_rate", "retention_period"))
        before = found.get(name, Row(name, interval, kept))
        found[name] = Row(name, min(before.interval, interval), max(before.retention, kept))
    return tuple(found.values())


def _foretold(text: str, target: TargetSpec) -> tuple[str, ...]:
    return tuple(dict.fromkeys(row["metric"] for row in _table(text, target, forecast.NAME, "prediction_error")))


def _table(text: str, target: TargetSpec, capability: str, key: str) -> list[Any]:
    feature = read_feature(text, vocabularies(target), "")
    found = [meaning for scenario in feature.scenarios for meaning in scenario.meanings(key)]
    return [row for meaning in found if meaning.capability == capability for row in meaning.values["rows"]]


def _target(
    given: str | None, namespace: str | None, kubeconfig: str | None, context: str | None
) -> tuple[TargetSpec, str]:
    """Return the target and the namespace that its Service is in where it names none."""
    if given is None:
        return DEFAULT_TARGET, namespace or "default"
    if Path(given).exists():
        return read_target(Path(given)), namespace or "default"

    async def work() -> tuple[dict[str, Any], str]:
        async with connected(kubeconfig, context, namespace) as access:
            stored = await access.read("PerfTarget", given)
            if stored is None:
                raise await missing(access, "PerfTarget", given)
            return stored, access.namespace

    try:
        stored, home = asyncio.run(work())
        return TargetSpec.from_wire(stored["spec"]), home
    except (Unavailable, Stop) as error:
        raise Stop(f"--target {given} is no file, and no PerfTarget that can be read: {error}") from error
    except ValidationError as error:
        raise Stop(f"PerfTarget {given} cannot be used: {error.errors()[0]['msg']}") from error


def _labels(given: Sequence[str]) -> dict[str, str]:
    made = {}
    for each in given:
        key, equals, value = each.partition("=")
        if not key or not equals:
            raise Stop(f"--label {each!r}: expected KEY=VALUE, such as release=monitoring")
        made[key] = value
    return made


def _commented(lines: Sequence[str]) -> str:
    told = (textwrap.fill(line, 110, subsequent_indent="  ", break_on_hyphens=False) for line in lines)
    return "".join(f"# {line}\n" for line in "\n".join(told).splitlines())


def _yaml(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=_WIDE)


class _Plain(yaml.SafeDumper):
    """Writes everything out: references between parts are legal and hard to read."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 -- the library's signature
        return True
