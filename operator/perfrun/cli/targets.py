"""Reading a PerfTarget from a file, for commands that work without a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from perfrun.api.target import TargetSpec
from perfrun.cli.stop import Stop
from perfrun.lifecycle.check_target import target_problems


def read_target(path: Path) -> TargetSpec:
    """Return the spec of the first PerfTarget in a manifest.

    Raises:
        Stop: the file cannot be read, holds no PerfTarget, or one that could not be used as it stands.
    """
    try:
        documents: list[Any] = list(yaml.safe_load_all(path.read_bytes()))
    except OSError as error:
        raise Stop(f"{path} cannot be read ({error.strerror}); expected a manifest with a PerfTarget") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Stop(f"{path} is not YAML ({' '.join(str(error).split())}); expected a PerfTarget") from error
    found = [each for each in documents if isinstance(each, dict) and each.get("kind") == "PerfTarget"]
    if not found:
        raise Stop(f"{path} holds no PerfTarget; expected an object with kind: PerfTarget")
    try:
        spec = TargetSpec.from_wire(found[0].get("spec") or {})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(each) for each in ("spec", *first["loc"]))
        raise Stop(f"{path}: {place}: {first['msg']} (found {str(first['input'])[:60]!r})") from error
    if problems := target_problems(spec):
        raise Stop("\n  ".join(f"{path}: {each}" for each in problems))
    return spec
