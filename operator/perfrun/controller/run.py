"""The operator as a process: its exit code and its last words."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence

from perfrun.controller.settings import Settings, SettingsError, read

log = logging.getLogger(__name__)

USAGE = 3
"""Exit code of bad settings, as everywhere in perfrun."""


def main(settings: Settings) -> int:
    """Run an operator until it is asked to stop; return 0 then, 1 where it could not go on, 3 for bad settings."""
    # Loaded here, so that bad arguments are answered at once.
    from perfrun.controller import logs  # noqa: PLC0415
    from perfrun.controller.app import serve  # noqa: PLC0415
    from perfrun.controller.leadership import LeadershipLostError  # noqa: PLC0415
    from perfrun.ports import Unavailable  # noqa: PLC0415

    logs.configure(settings.log_format, settings.log_level)
    try:
        asyncio.run(serve(settings))
    except SettingsError as error:
        log.error("stopped", extra={"error": str(error)})  # noqa: TRY400 -- the sentence says it all
        return USAGE
    except (LeadershipLostError, Unavailable) as error:
        log.error("stopped", extra={"error": str(error)})  # noqa: TRY400 -- the same
        return 1
    except Exception:
        log.exception("stopped")
        return 1
    return 0


def entry(arguments: Sequence[str]) -> int:
    """Read the settings and run."""
    try:
        settings = read(arguments)
    except SettingsError as error:
        print(f"perfrun operator: {error}", file=sys.stderr)  # noqa: T201 -- logging is not set up yet
        return USAGE
    return main(settings)
