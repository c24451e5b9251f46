"""Whole experiments on a real cluster: from `kubectl apply` to the verdict, and what has to be true afterwards."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import served
from operators import Operator

from perfrun.manifests.names import fault_on_node

ROOT = Path(__file__).parents[2]
AGENTS = "perfrun-chaos"
"""Namespace of the fault agents."""

Kubectl = Callable[..., str]
Document = dict[str, Any]


def row(feature: str, number: int) -> str:
    """Return one of the project's features, verbatim, but with only one row of its examples (the first is 1)."""
    lines = (ROOT / "features" / feature).read_text().splitlines(keepends=True)
    examples = next(at for at, line in enumerate(lines) if line.strip() == "Examples:")
    return "".join(lines[: examples + 2]) + lines[examples + 1 + number]


def applied(kubectl: Kubectl, namespace: str, text: str, target: Document, timeout: str = "15m") -> str:
    """Apply a target, and a feature of the same name; return the name."""
    name = str(target["metadata"]["name"])
    feature = {
        "apiVersion": "perfrun.dev/v1alpha1", "kind": "PerfFeature", "metadata": {"name": name},
        "spec": {"feature": text, "targetRef": name, "timeout": timeout},
    }  # fmt: skip
    for document in (target, feature):
        kubectl("apply", "--namespace", namespace, "--filename", "-", input=json.dumps(document))
    return name


def run_of(kubectl: Kubectl, namespace: str, feature: str) -> Document | None:
    """Return the newest run of a feature, if it has begun one."""
    selector = f"perfrun.dev/feature={feature}"
    found = kubectl("get", "perfruns", "--namespace", namespace, "--selector", selector, "--output", "json")
    runs: list[Document] = json.loads(found)["items"]
    return max(runs, key=lambda each: str(each["metadata"]["creationTimestamp"])) if runs else None


def awaited(
    kubectl: Kubectl, namespace: str, feature: str, told: Callable[[Document], bool], seconds: float,
    operator: Operator | None = None,
) -> Document:  # fmt: skip
    """Return the feature's run once it is as told; an operator that is found dead meanwhile is started again."""
    deadline = time.monotonic() + seconds
    run: Document | None = None
    while time.monotonic() < deadline:
        if operator is not None and operator.process is not None and operator.process.poll() is not None:
            operator.start()
        # The API server may be the one that was killed.
        with contextlib.suppress(AssertionError):
            run = run_of(kubectl, namespace, feature)
        if run is not None and told(run):
            return run
        time.sleep(0.3)
    log = operator.log()[-6000:] if operator is not None else ""
    raise AssertionError(f"not in time: {json.dumps((run or {}).get('status', {}), indent=1)[:6000]}\n{log}")


def finished(run: Document) -> bool:
    """Whether a run has its verdict."""
    return bool((run.get("status") or {}).get("finishedAt"))


def fault_is(*states: str) -> Callable[[Document], bool]:
    """Return a question whether any fault of a run is in one of these states."""

    def told(run: Document) -> bool:
        return any(each["state"] in states for each in (run.get("status") or {}).get("faults") or ())

    return told


def steps(run: Document) -> dict[str, Document]:
    """Return the steps of a run's only scenario by their text."""
    [scenario] = run["status"]["scenarios"]
    return {each["text"]: each for each in scenario["steps"]}


def told(run: Document) -> str:
    """Return what a run says, for the message of a test that fails."""
    status = run["status"]
    kept = {name: status.get(name) for name in ("phase", "reason", "message", "faults", "scaling", "scenarios")}
    return json.dumps(kept, indent=1)[:12000]


def assert_nothing_left(kubectl: Kubectl, namespace: str) -> None:
    """Assert that no fault, and nothing that made one, is anywhere in the cluster any more."""
    remains = leftovers(kubectl, namespace)
    assert not remains, remains


def leftovers(kubectl: Kubectl, namespace: str) -> list[str]:
    """Return a sentence for everything that a run with faults has left in the cluster."""
    found = []
    for node in _items(kubectl, "nodes"):
        name, spec = node["metadata"]["name"], node["spec"]
        ready = next(each["status"] for each in node["status"]["conditions"] if each["type"] == "Ready")
        found += [f"node {name} is not Ready"] if ready != "True" else []
        found += [f"node {name} is cordoned"] if spec.get("unschedulable") else []
        found += [f"node {name} has the taint {each['key']}" for each in spec.get("taints") or ()]
        marks = [each for each in node["metadata"].get("annotations") or {} if each.startswith("perfrun.dev/")]
        found += [f"node {name} has the annotation {each}" for each in marks]
    found += [f"agent {each['metadata']['name']} is left" for each in _items(kubectl, "pods", AGENTS)]
    found += [f"Job {each['metadata']['name']} is left" for each in _items(kubectl, "jobs", namespace)]
    for run in _items(kubectl, "perfruns", namespace):
        held = run["metadata"].get("finalizers") or ()
        found += [f"run {run['metadata']['name']} has the finalizer {each}" for each in held]
    for node, pid in kubelets(kubectl).items():
        found += [f"node {node} has {each}" for each in _tables(pid)]
        found += [f"the kubelet of node {node} stands still"] if _stopped(pid) else []
    return found


def processes(told: Callable[[list[str]], bool]) -> dict[int, list[str]]:
    """Return the words of this machine's processes whose words are as told, by process."""
    found = {}
    for path in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (path / "cmdline").read_bytes().decode().split("\0") if path.name.isdecimal() else [""]
            if told(words):
                found[int(path.name)] = words
    return found


def agents_at_work(run_uid: str, fault: str) -> list[int]:
    """Return the processes of a fault's agents, of this run alone."""
    mark, found = fault_on_node(run_uid, fault).encode(), []
    for pid in processes(lambda words: "perfrun_kernels.fault" in words):
        with contextlib.suppress(OSError):
            if mark in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(pid)
    return found


def control_plane(kubectl: Kubectl) -> str:
    """Return the address of the API server, which tells this cluster from others on this machine."""
    server = kubectl("config", "view", "--minify", "--output", "jsonpath={.clusters[0].cluster.server}")
    return str(urlsplit(server).hostname)


def kubelets(kubectl: Kubectl) -> dict[str, int]:
    """Return the process of each node's kubelet; the nodes of a cluster share one network and this machine."""
    network = control_plane(kubectl).rpartition(".")[0]

    def ours(words: list[str]) -> bool:
        return words[0].endswith("/kubelet") and any(word.startswith(f"--node-ip={network}.") for word in words)

    return {
        word.partition("=")[2]: pid
        for pid, words in processes(ours).items()
        for word in words
        if word.startswith("--hostname-override=")
    }


def _stopped(pid: int) -> bool:
    with contextlib.suppress(OSError):
        states = [each.read_text().rpartition(")")[2].split()[0] for each in Path(f"/proc/{pid}/task").glob("*/stat")]
        return any(state in "tT" for state in states)
    return False


def _tables(pid: int) -> list[str]:
    command = ["nsenter", "--target", str(pid), "--net", "nft", "list", "tables"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line for line in listed.splitlines() if "perfrun" in line]


def _items(kubectl: Kubectl, kind: str, namespace: str = "") -> list[Document]:
    scope = ("--namespace", namespace) if namespace else ()
    items: list[Document] = json.loads(kubectl("get", kind, *scope, "--output", "json"))["items"]
    return items


def served_system(kubectl: Kubectl, namespace: str, replicas: int, **variant: Any) -> tuple[str, ...]:
    """Make the agents' namespace, and serve the example on this many nodes; return their names."""
    document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": AGENTS}}
    kubectl("apply", "--filename", "-", input=json.dumps(document))
    return served.serve(kubectl, namespace, served.Variant(replicas, **variant))
