"""``perfrun version``: what to name in a bug report."""

from __future__ import annotations

import importlib.metadata
import platform

import typer

from perfrun.api import API_VERSION
from perfrun_kernels.contract import VERSION

app = typer.Typer(add_completion=False)


@app.command()
def version() -> None:
    """Show the versions of perfrun, its API, its result contract and Python."""
    typer.echo(f"perfrun {importlib.metadata.version('perfrun')}")
    typer.echo(f"API {API_VERSION}, result contract {VERSION}, Python {platform.python_version()}")
