"""What `perfrun telemetry rules` prints for the Prometheus Operator, against the operator's own definitions."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from operator_crds import definitions

from perfrun.cli.inputs import load_target
from perfrun.cli.telemetry import Part, as_objects, asked

pytestmark = pytest.mark.contract

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def kinds(kubectl: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The operator's kinds, without the operator."""
    made = definitions(tmp_path_factory.mktemp("crds"))
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": made})
    kubectl("apply", "--server-side", "-f", "-", input=listed)
    while any("rror" in kubectl("get", each["metadata"]["name"], "-A", check=False) for each in made):
        time.sleep(0.1)
    yield
    kubectl("delete", "-f", "-", "--wait=false", input=listed)


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize("target", [None, "served-target.yaml"])
def test_the_api_server_takes_every_field(kubectl: Callable[..., str], namespace: str, target: str | None) -> None:
    spec = load_target(str(ROOT / "examples" / target) if target else None)
    found = asked(str(ROOT / "features" / "system_performance.feature"), spec, "shop", "prober:9115")
    manifest = as_objects(found, Part.ALL, namespace, {"release": "x"})
    said = kubectl("create", "--validate=strict", "-o", "name", "-f", "-", input=manifest)
    assert len(said.split()) == 6
