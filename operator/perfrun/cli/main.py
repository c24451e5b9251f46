"""The command line: names every command and loads only the one that is asked for.

``perfrun lint`` runs in editors and commit hooks, so it must not pay for what other commands need. Each command is
a module with a Typer ``app``; this one knows their names and nothing of what they import.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any, Final

import attrs
import typer
from typer._click.exceptions import ClickException, NoArgsIsHelpError
from typer.core import TyperGroup

from perfrun.cli.stop import USAGE_ERROR, Stop

INTERRUPTED: Final = 130
"""Exit code after Ctrl-C, as shells have it."""


@attrs.frozen
class Command:
    """Where a command lives, and what it does in a few words."""

    module: str
    summary: str


COMMANDS: Final[Mapping[str, Command]] = {
    "lint": Command("perfrun.cli.lint", "Check feature files: every problem with its place and the nearest phrase."),
    "plan": Command("perfrun.cli.plan", "Show what a feature would run, in pods, GPUs and seconds."),
    "run": Command("perfrun.cli.run", "Execute a feature on this machine, without a cluster."),
    "wrap": Command("perfrun.cli.wrap", "Turn feature files into the manifest that kubectl apply takes."),
    "gate": Command("perfrun.cli.gate", "Wait for a verdict on the cluster and exit with it."),
    "report": Command("perfrun.cli.report", "Show the evidence behind a run's verdict."),
    "telemetry": Command(
        "perfrun.cli.telemetry", "Print the configuration with which a Prometheus has what is asked for."
    ),
    "chaos": Command("perfrun.cli.chaos", "List the faults in a cluster, and undo them, operator or not."),
    "drain": Command("perfrun.cli.drain", "Cancel every run and wait, before the operator is taken away."),
    "operator": Command("perfrun.cli.serve", "Run the operator itself; what the chart's Deployment starts."),
    "version": Command("perfrun.cli.version", "Show the versions of perfrun, its API and Python."),
    "dev": Command("perfrun.devcluster.commands", "A real Kubernetes on this machine, for development."),
}


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 -- the framework's signature
        """Return the commands in the order in which people meet them."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 -- the framework's signature
        """Import the command's module and return the command; None where there is none of this name."""
        command = COMMANDS.get(cmd_name)
        if command is None:
            return None
        app: typer.Typer = importlib.import_module(command.module).app
        loaded = typer.main.get_command(app)
        loaded.name = cmd_name
        loaded.short_help = command.summary
        return loaded


app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="SLOs written as Gherkin, proven on a live Kubernetes cluster or on this machine.",
)


@app.callback()
def _root() -> None:
    """SLOs written as Gherkin, proven on a live Kubernetes cluster or on this machine."""


def main() -> None:
    """Run one command; exit with its verdict, 3 for bad use, 130 after Ctrl-C."""
    try:
        code = app(standalone_mode=False)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except NoArgsIsHelpError as error:
        error.show()
        code = USAGE_ERROR
    except ClickException as error:
        print(f"perfrun: {error.format_message()} (perfrun --help shows what there is)", file=sys.stderr)  # noqa: T201 -- rich is not loaded for this
        code = USAGE_ERROR
    except Stop as stop:
        print(f"perfrun: {stop}", file=sys.stderr)  # noqa: T201 -- rich is not loaded for this
        code = USAGE_ERROR
    sys.exit(code if isinstance(code, int) else 0)
