"""``perfrun wrap``: feature files → the manifest that ``kubectl apply`` takes.

The feature stays readable in it, as a literal block, and comes out of the cluster byte for byte as it was; so a
manifest can be reviewed like the file, and a digest of one is a digest of the other.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml

from perfrun.api import API_VERSION
from perfrun.cli.stop import Stop
from perfrun.language.parsing import decode

app = typer.Typer(add_completion=False)

_NAME_LENGTH: Final = 50
"""Longest name, characters; names of runs and pods append to it and must stay within 63."""


class _Block(str):
    """A text that is written as a literal block wherever YAML can hold it so."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, for blocks too."""


_Dumper.add_representer(
    _Block, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|")
)


@app.command()
def command(
    files: Annotated[list[Path], typer.Argument(help="Feature files.")],
    target_ref: Annotated[str, typer.Option(help="Name of the PerfTarget that they are verified against.")] = "default",
    namespace: Annotated[str, typer.Option(help="Namespace; left out, kubectl's.")] = "",
    with_target: Annotated[bool, typer.Option("--with-target", help="Put a PerfTarget of that name first.")] = False,
) -> None:
    """Print a PerfFeature for each feature file, ready for kubectl apply."""
    sys.stdout.write(wrap([(path, _read(path)) for path in files], target_ref, namespace, with_target=with_target))


def wrap(
    features: Sequence[tuple[Path, bytes]], target_ref: str, namespace: str = "", *, with_target: bool = False
) -> str:
    """Return the manifest of the features, each named after its file.

    Raises:
        Stop: a file is no text that a PerfFeature can hold, or two files would have the same name.
    """
    objects: list[dict[str, Any]] = []
    if with_target:
        objects.append(_object("PerfTarget", target_ref, namespace, {"llm": {"engine": "builtin"}}))
    taken: dict[str, Path] = {}
    for path, data in features:
        _, problems = decode(data)
        if problems:
            raise Stop(f"{path}: {problems[0].message}")
        name = _name(path)
        if name in taken:
            raise Stop(f"{taken[name]} and {path} would both be named {name!r}; rename one of the files")
        taken[name] = path
        spec = {"targetRef": target_ref, "feature": _Block(data.decode())}
        objects.append(_object("PerfFeature", name, namespace, spec))
    return "---\n".join(
        yaml.dump(each, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000) for each in objects
    )


def _object(kind: str, name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _name(path: Path) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")[:_NAME_LENGTH].strip("-")
    if not name:
        raise Stop(f"{path} gives no name for a resource; expected a file name with letters or digits")
    return name


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Stop(f"{path} cannot be read ({error.strerror}); expected a feature file") from error
