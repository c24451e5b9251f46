"""The definitions of the Prometheus Operator's kinds, as it publishes them in its Go module."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import yaml

_MODULE: Final = "github.com/prometheus-operator/prometheus-operator"
_VERSION: Final = "v0.85.0"
_SUM: Final = "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s="
_KINDS: Final = ("scrapeconfigs", "prometheusrules")


def definitions(folder: Path) -> list[dict[str, Any]]:
    """Download the module, from an empty folder, and return the definitions of the kinds that perfrun writes."""
    (folder / "go.mod").write_text("module crds\n")
    go = shutil.which("go") or "/usr/local/go/bin/go"
    command = [go, "mod", "download", "-json", f"{_MODULE}@{_VERSION}"]
    answer = json.loads(subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout)
    assert answer["Sum"] == _SUM
    published = Path(answer["Dir"]) / "example" / "prometheus-operator-crd"
    return [yaml.safe_load((published / f"monitoring.coreos.com_{kind}.yaml").read_bytes()) for kind in _KINDS]
