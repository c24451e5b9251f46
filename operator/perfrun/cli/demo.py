"""What ``make demo`` does: a real cluster, the operator on it, the feature files, and verdicts that were measured.

It installs and applies what a person would, shows what a person would look at, and leaves everything running.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml
from rich.console import Console

from perfrun.adapters.reading import run_of
from perfrun.cli import show
from perfrun.cli.devinstall import CHECKOUT, SYSTEM, Tools, install, make_namespace
from perfrun.cli.stop import Stop
from perfrun.cli.wrap import wrap
from perfrun.devcluster import cluster
from perfrun.devcluster.errors import DevClusterError

NAMESPACE: Final = "demo"
EXAMPLES: Final = CHECKOUT / "examples"
FEATURES: Final = EXAMPLES / "features-cr.yaml"
SERVED: Final = EXAMPLES / "served-features.yaml"
NODES: Final = 6
"""Five that serve, as the first row of fault tolerance wants, and one from which load can come."""

OBSERVING: Final = "system-performance"
"""Observes for an hour, so nobody waits for it; and last: nodes that fail on purpose are not recorded meanwhile."""

SHOWN: Final = ("llm-sampling-performance", "slo", "load-balancing", "fault-tolerance", "network-performance")
"""Features whose evidence is printed in full."""

_AFTERWARDS: Final = """
Everything is still running. To look around:

  export KUBECONFIG={kubeconfig}
  export PATH={tools}:$PATH
  kubectl -n {demo} get perf
  kubectl -n {demo} describe perfrun
  kubectl explain perfrun.status
  .venv/bin/perfrun report -n {demo} slo
  .venv/bin/perfrun report -n {demo} {observing}    # from {due} on: it observes for an hour
  kubectl -n {system} logs deploy/perfrun
  Prometheus: {prometheus}

To take it down, leaving nothing: make down CLUSTER={cluster}"""

_PATIENCE: Final = 900.0
_SCALING: Final = {"spec": {"service": {"workload": {"timeout": "30s"}}}}
"""Rows that want more nodes than there are need not wait for an autoscaler here."""

_EVERY: Final = 1.0
_OBSERVED: Final = dt.timedelta(minutes=63)
"""An hour, and what it takes to start and to judge."""

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
    gpu = Path("/dev/nvidiactl").exists()
    tell(
        "there is a GPU: its model sizes are used" if gpu else "no GPU: examples/cpu-models.yaml makes the models small"
    )
    features = apply(tools, NAMESPACE, () if gpu else (EXAMPLES / "cpu-models.yaml",))
    tell(f"applied examples/target.yaml, examples/slo.feature and {len(features) - 1} of examples/features-cr.yaml")
    tell("waiting for verdicts; the language model is measured for up to a minute at each of three sizes")
    missing = follow(tools, features, timeout, tell)
    # Only now: a language model on the CPU would slow down what is served from it, and the load on that.
    tell("serving nginx from examples/served/dev, one pod on each of five nodes")
    disturbing = serve(tools, NAMESPACE, NODES - 1)
    tell(f"applied examples/served-target.yaml and examples/served-features.yaml: {len(disturbing)} features")
    tell("waiting for verdicts; loads and faults take turns, and each scenario takes one to two minutes")
    missing += follow(tools, disturbing, timeout, tell)
    observe(tools, NAMESPACE)
    due = f"{dt.datetime.now().astimezone() + _OBSERVED:%H:%M}"
    tell(f"applied {OBSERVING} of examples/features-cr.yaml: its verdict comes at about {due}, with an hour's samples")
    summary(tools, console)
    console.print(
        _AFTERWARDS.format(
            kubeconfig=info.kubeconfig, tools=info.bin_dir, prometheus=info.prometheus_url, demo=NAMESPACE,
            system=SYSTEM, cluster=name, observing=OBSERVING, due=due,
        ),
        soft_wrap=True, markup=False,
    )  # fmt: skip
    if missing:
        raise Stop(f"no verdict within {timeout:.0f} s on {', '.join(missing)}; see kubectl -n {NAMESPACE} describe pf")


def apply(tools: Tools, namespace: str, patches: Sequence[Path] = ()) -> tuple[str, ...]:
    """Apply the example target with patches, a platform's SLO, and the features that neither load, break nor observe.

    Returns the features' names.
    """
    make_namespace(tools, namespace)
    slo = EXAMPLES / "slo.feature"
    target = yaml.safe_load((EXAMPLES / "target.yaml").read_bytes())
    for patch in patches:
        target = merged(target, yaml.safe_load(patch.read_bytes()))
    later = {OBSERVING, *(each["metadata"]["name"] for each in _documents(SERVED))}
    features = [each for each in _documents(FEATURES) if each["metadata"]["name"] not in later]
    _applied(tools, namespace, json.dumps(target))
    named = _applied(tools, namespace, yaml.safe_dump_all(features))
    return named + _applied(tools, namespace, wrap([(slo, slo.read_bytes())], "default"))


def serve(tools: Tools, namespace: str, nodes: int) -> tuple[str, ...]:
    """Serve from so many nodes, apply the target that allows load and faults, and its features; return their names."""
    deploy(tools, namespace, nodes)
    target = merged(yaml.safe_load((EXAMPLES / "served-target.yaml").read_bytes()), _SCALING)
    _applied(tools, namespace, json.dumps(target))
    return _applied(tools, namespace, SERVED.read_text())


def observe(tools: Tools, namespace: str) -> None:
    """Apply the feature that observes what is recorded of the cluster, against the target that `apply` made."""
    found = [each for each in _documents(FEATURES) if each["metadata"]["name"] == OBSERVING]
    _applied(tools, namespace, yaml.safe_dump_all(found))


def deploy(tools: Tools, namespace: str, nodes: int) -> None:
    """Bring the example of a served system up, one pod on each of so many nodes."""
    make_namespace(tools, namespace)
    deployment = ("deployment/served", "--namespace", namespace)
    tools.kubectl("apply", "--namespace", namespace, "--kustomize", str(EXAMPLES / "served" / "dev"))
    tools.kubectl("scale", *deployment, "--replicas", str(nodes))
    tools.kubectl("rollout", "status", *deployment, "--timeout", "120s")


def _documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_bytes()))


def _applied(tools: Tools, namespace: str, manifest: str) -> tuple[str, ...]:
    said = tools.kubectl("apply", "--namespace", namespace, "--output", "name", "--filename", "-", stdin=manifest)
    return tuple(line.partition("/")[2] for line in said.split())


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest with another laid over it: objects are joined, everything else is replaced."""
    joined = {
        name: merged(base[name], value) if isinstance(value, dict) and isinstance(base.get(name), dict) else value
        for name, value in over.items()
    }
    return base | joined


def follow(
    tools: Tools, features: tuple[str, ...], patience: float, tell: Callable[[str], None], namespace: str = NAMESPACE
) -> tuple[str, ...]:
    """Tell what happens to the features until each has a verdict; return those that had none in time."""
    deadline = time.monotonic() + patience
    told: dict[str, str] = {}
    while True:
        found = {each["metadata"]["name"]: each for each in tools.get("perffeatures", "--namespace", namespace)}
        runs = {each["metadata"]["name"]: each for each in tools.get("perfruns", "--namespace", namespace)}
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
