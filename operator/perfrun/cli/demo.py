"""What ``make demo`` does: a real cluster, the operator on it, the feature files, and verdicts that were measured.

It installs and applies what a person would, shows what a person would look at, and leaves everything running.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml
from rich.console import Console

from perfrun.adapters.prometheus import PrometheusMetrics
from perfrun.adapters.reading import run_of
from perfrun.api.run import TimeWindow
from perfrun.api.target import Prometheus
from perfrun.cli import show
from perfrun.cli.devinstall import CHECKOUT, SYSTEM, Tools, install, make_namespace
from perfrun.cli.stop import Stop
from perfrun.cli.wrap import wrap
from perfrun.devcluster import cluster
from perfrun.devcluster.errors import DevClusterError

NAMESPACE: Final = "demo"
NODES: Final = 3
SHOWN: Final = ("llm-sampling-performance", "slo")
"""Features whose evidence is printed in full."""

_AFTERWARDS: Final = """
Everything is still running. To look around:

  export KUBECONFIG={kubeconfig}
  export PATH={tools}:$PATH
  kubectl -n {demo} get perf
  kubectl -n {demo} describe perfrun
  kubectl explain perfrun.status
  .venv/bin/perfrun report -n {demo} slo
  kubectl -n {system} logs deploy/perfrun
  Prometheus: {prometheus}

To take it down, leaving nothing: make down CLUSTER={cluster}"""

_PATIENCE: Final = 900.0
_HISTORY: Final = 60.0
_SEEN: Final = 'count(up{job="kubelet"} == 1)'
_EVERY: Final = 1.0

app = typer.Typer(add_completion=False)


class Teller:
    """Prints a line for each step, with the seconds since the beginning."""

    def __init__(self, console: Console) -> None:
        self._console, self._began = console, time.monotonic()

    def __call__(self, text: str) -> None:
        """Print one line."""
        self._console.print(f"demo {time.monotonic() - self._began:6.1f} s  {text}", soft_wrap=True, markup=False)


@app.command()
def demo(
    name: Annotated[str, typer.Option("--cluster", help="Name of the development cluster.")] = "perfrun",
    timeout: Annotated[float, typer.Option(help="Longest time to wait for all verdicts, seconds.")] = _PATIENCE,
) -> None:
    """Bring a cluster up, install the operator, apply the features and show their verdicts."""
    console = Console(highlight=False)
    tell = Teller(console)
    try:
        tell(f"bringing up the development cluster {name!r} with {NODES} nodes (the first time builds its programs)")
        info = cluster.up(name, NODES, tell)
    except DevClusterError as error:
        raise Stop(str(error)) from error
    tools = Tools(info.helm, info.kubectl, info.kubeconfig)
    tell("installing charts/perfrun with Helm, and waiting until the operator is ready")
    install(tools)
    wait_for_history(info.prometheus_url)
    gpu = Path("/dev/nvidiactl").exists()
    tell(
        "there is a GPU: its model sizes are used" if gpu else "no GPU: examples/cpu-models.yaml makes the models small"
    )
    features = apply(tools, NAMESPACE, () if gpu else (CHECKOUT / "examples" / "cpu-models.yaml",))
    tell(f"applied examples/target.yaml, examples/features-cr.yaml and examples/slo.feature: {len(features)} features")
    tell("waiting for verdicts; the language model is measured for up to a minute at each of three sizes")
    missing = follow(tools, features, timeout, tell)
    summary(tools, console)
    console.print(
        _AFTERWARDS.format(
            kubeconfig=info.kubeconfig, tools=info.bin_dir, prometheus=info.prometheus_url, demo=NAMESPACE,
            system=SYSTEM, cluster=name,
        ),
        soft_wrap=True, markup=False,
    )  # fmt: skip
    if missing:
        raise Stop(f"no verdict within {timeout:.0f} s on {', '.join(missing)}; see kubectl -n {NAMESPACE} describe pf")


def wait_for_history(url: str) -> None:
    """Wait until Prometheus has seen every kubelet: a window that begins before has gaps, and gaps are not judged."""
    server, metrics = Prometheus(url=url), PrometheusMetrics()
    deadline = time.monotonic() + _HISTORY
    while True:
        now = dt.datetime.now(dt.UTC)
        answer = asyncio.run(metrics.instant(server, _SEEN, TimeWindow(start=now, end=now)))
        seen = max((value for points in answer.series.values() for _, value in points), default=0)
        if seen >= NODES:
            return
        if time.monotonic() >= deadline:
            why = answer.error or f"it saw {seen:.0f} of {NODES} kubelets"
            raise Stop(f"{url} has no complete history after {_HISTORY:.0f} s ({why}); look at {url}/targets")
        time.sleep(_EVERY)


def apply(tools: Tools, namespace: str, patches: Sequence[Path] = ()) -> tuple[str, ...]:
    """Apply the example target with patches, the six features and a platform's SLO; return the features' names."""
    make_namespace(tools, namespace)
    examples = CHECKOUT / "examples"
    slo = examples / "slo.feature"
    target = yaml.safe_load((examples / "target.yaml").read_bytes())
    for patch in patches:
        target = merged(target, yaml.safe_load(patch.read_bytes()))
    tools.kubectl("apply", "--namespace", namespace, "--filename", "-", stdin=json.dumps(target))
    applied = tools.kubectl(
        "apply", "--namespace", namespace, "--output", "name", "--filename", str(examples / "features-cr.yaml")
    )
    manifest = wrap([(slo, slo.read_bytes())], "default")
    applied += tools.kubectl("apply", "--namespace", namespace, "--output", "name", "--filename", "-", stdin=manifest)
    return tuple(line.partition("/")[2] for line in applied.split())


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest with another laid over it: objects are joined, everything else is replaced."""
    joined = {
        name: merged(base[name], value) if isinstance(value, dict) and isinstance(base.get(name), dict) else value
        for name, value in over.items()
    }
    return base | joined


def follow(tools: Tools, features: tuple[str, ...], patience: float, tell: Teller) -> tuple[str, ...]:
    """Tell what happens to the features until each has a verdict; return those that had none in time."""
    deadline = time.monotonic() + patience
    told: dict[str, str] = {}
    while True:
        found = {each["metadata"]["name"]: each for each in tools.get("perffeatures", "--namespace", NAMESPACE)}
        runs = {each["metadata"]["name"]: each for each in tools.get("perfruns", "--namespace", NAMESPACE)}
        for name in features:
            line = _line(found.get(name, {}), runs)
            if line and told.get(name) != line:
                told[name] = line
                tell(f"{name}: {line}")
        missing = tuple(name for name in features if not _judged(found.get(name, {})))
        if not missing or time.monotonic() >= deadline:
            return missing
        time.sleep(_EVERY)


def summary(tools: Tools, console: Console) -> None:
    """Print what kubectl shows, and the evidence of the features that were measured."""
    console.print(f"\n$ kubectl -n {NAMESPACE} get perffeatures,perfruns,perftargets", style="bold")
    console.out(tools.kubectl("get", "perffeatures,perfruns,perftargets", "--namespace", NAMESPACE), highlight=False)
    for name in SHOWN:
        feature = tools.get("perffeature", name, "--namespace", NAMESPACE)[0]
        last = (feature.get("status") or {}).get("lastRun")
        if last is None:
            continue
        run = run_of(tools.get("perfrun", last["name"], "--namespace", NAMESPACE)[0])
        console.print(f"$ perfrun report -n {NAMESPACE} {name}", style="bold")
        show.table(show.Evidence(run.meta.name, run.status), console)
        console.print()


def _line(feature: dict[str, Any], runs: dict[str, dict[str, Any]]) -> str:
    status = feature.get("status") or {}
    if _judged(feature):
        last = status.get("lastRun") or {}
        return f"{last.get('verdict', 'Error')}: {last.get('message') or status.get('message', '')}"
    active = runs.get(status.get("activeRun") or "", {})
    return str((active.get("status") or {}).get("message") or status.get("message") or "")


def _judged(feature: dict[str, Any]) -> bool:
    status = feature.get("status") or {}
    stalled = any(each["type"] == "Stalled" and each["status"] == "True" for each in status.get("conditions") or ())
    return bool(status.get("lastRun")) or stalled


def main() -> None:
    """Run the demo; exit 3 with one sentence where it cannot go on."""
    try:
        app(standalone_mode=False)
    except Stop as stop:
        Console(stderr=True, highlight=False).print(f"demo: {stop}", soft_wrap=True, markup=False)
        sys.exit(3)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
