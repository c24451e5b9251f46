from __future__ import annotations

import json
import logging
import sys

import pytest

from perfrun.controller.logs import ConsoleFormatter, JsonFormatter


def record(**extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "perfrun.x", "levelno": logging.INFO, "levelname": "INFO", "msg": "run %s"})
    made.args = ("a",)
    for name, value in extra.items():
        setattr(made, name, value)
    return made


def test_a_record_is_one_line_of_json_with_its_fields() -> None:
    line = JsonFormatter().format(record(phase="Running", key={"name": "a"}, odd=object()))
    data = json.loads(line)
    assert (data["message"], data["level"], data["phase"], data["key"]) == ("run a", "info", "Running", {"name": "a"})
    assert "\n" not in line


def test_people_read_a_line_with_the_fields_at_its_end() -> None:
    assert ConsoleFormatter().format(record(phase="Running")).endswith("I run a phase=Running")


@pytest.mark.parametrize("formatter", [JsonFormatter(), ConsoleFormatter()])
def test_a_traceback_is_kept(formatter: logging.Formatter) -> None:
    try:
        message = "boom"
        raise ValueError(message)  # noqa: TRY301 -- a traceback is wanted
    except ValueError:
        line = formatter.format(record(exc_info=sys.exc_info()))
    assert "ValueError: boom" in line
