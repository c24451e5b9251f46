"""``perfrun operator``: the same entry as ``python -m perfrun.controller``, for people who look for it here."""

from __future__ import annotations

import os
import sys

import typer

app = typer.Typer(add_completion=False)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def operator(context: typer.Context) -> None:
    """Run the operator with the current kubeconfig or the pod's service account; arguments are passed on."""
    os.execv(sys.executable, [sys.executable, "-m", "perfrun.controller", *context.args])  # noqa: S606 -- replaces this process by ourselves
