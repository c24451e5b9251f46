"""The forecast program: reads histories from Prometheus, foretells them, ranks bottlenecks, hands all of it in."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from typing import Final

from perfrun_kernels.bottlenecks import main as bottlenecks
from perfrun_kernels.contract import Attachment, Scalar, Table
from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.forecast import history, results
from perfrun_kernels.forecast.backtest import Mapper
from perfrun_kernels.forecast.foreseeing import foresee, mapping, setting_of
from perfrun_kernels.forecast.parameters import Metric, Wanted, parse
from perfrun_kernels.forecast.results import Outcome
from perfrun_kernels.pictures import forecast as picture
from perfrun_kernels.program import Fact, Measurement, Progress, Task
from perfrun_kernels.prometheus import Server

_MOST_PROCESSES: Final = 2
_PATIENCE_SECONDS: Final = 20.0


def run(task: Task) -> Measurement:
    """Foretell every metric that ``task`` names; one that cannot be foretold has its reason in the result.

    Raises:
        ParametersError: the parameters are wrong.
        UnmeasurableError: the server cannot be reached, or does not answer as Prometheus does.
    """
    wanted = parse(task.parameters)
    started = time.time()
    server = Server(wanted.url, wanted.timeout_s, _PATIENCE_SECONDS)
    now = server.now()
    outcomes: dict[str, Outcome] = {}
    scalars: dict[str, Scalar] = {}
    facts: dict[str, Fact] = {"python": platform.python_version(), "statsforecast": version("statsforecast")}
    tables: dict[str, Table] = {}
    with mapping(min(_MOST_PROCESSES, os.cpu_count() or 1)) as mapper:
        for metric in wanted.metrics:
            warned = len(server.warnings)
            outcome = _outcome(server, metric, wanted, now, mapper, task.progress)
            part = results.part(metric, outcome, server.warnings[warned:])
            outcomes[metric.key] = outcome
            scalars |= part.scalars
            facts |= part.facts
            tables |= part.tables
    task.progress("ranking resources")
    start = now - min(wanted.lookback_s, bottlenecks.WINDOW_SECONDS)
    ranking = bottlenecks.rank(server, wanted.resources, start, now)
    ranked_scalars, ranked_facts, ranked_tables = bottlenecks.results(ranking)
    foresight = results.foresight(wanted.metrics, outcomes, now, str(ranked_facts["bottleneck"]))
    attachments: dict[str, Attachment] = {
        "forecast": results.attachment("image/svg+xml", picture.draw(foresight)),
        "bottlenecks": results.attachment("image/svg+xml", bottlenecks.draw(ranking)),
        "models": results.document(results.models(wanted.metrics, outcomes)),
    }
    return Measurement(
        started, time.time(), {}, scalars | ranked_scalars,
        facts | ranked_facts | {"warnings": "; ".join(server.warnings)}, tables=tables | ranked_tables,
        attachments=attachments,
    )  # fmt: skip


def _outcome(server: Server, metric: Metric, wanted: Wanted, now: float, mapper: Mapper, progress: Progress) -> Outcome:
    progress(f"reading the history of {metric.name}")
    try:
        found = history.read(server, metric, wanted.lookback_s, now)
        moments = history.deployments(server, wanted.deployments, found) if wanted.deployments else ()
        setting = setting_of(found, metric, moments)
        progress(f"foretelling {metric.name} from {history.duration(found.seconds)}")
        return foresee(found, setting, wanted, mapper)
    except UnmeasurableError as error:
        return error
