"""What a fault agent's container does whatever it is told: it reports, and says nothing that it did not see."""

import json

import pytest

from perfrun_kernels import contract
from perfrun_kernels.contract import FaultOrder, FaultReport
from perfrun_kernels.fault import __main__ as program


@pytest.fixture(autouse=True)
def signals_stay_as_they_are(monkeypatch):
    monkeypatch.setattr(program.waiting, "block", lambda: None)


def reported(path, text):
    assert program.main({contract.FAULT_ENV: text, contract.TERMINATION_LOG_ENV: str(path)}) == 0
    return FaultReport.from_json(path.read_text())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"kind": "reboot"}, "kind is 'reboot'"),
        ({"fault": "A B"}, "lower-case"),
        ({"ends_at": 100.0}, "more than 0"),
        ({"ends_at": 100.0 + 3601}, "at most 3600 s"),
        ({"version": 2}, "version 1"),
        ({"starts_at": "soon"}, "seconds since the epoch"),
    ],
)
def test_an_order_that_no_agent_may_carry_out_is_refused(tmp_path, change, sentence):
    order = json.loads(FaultOrder("f1", "run", "node", "isolate", 100.0, 115.0).to_json())
    report = reported(tmp_path / "log", json.dumps(order | change))
    assert (report.state, report.reason, report.injected_at) == ("Refused", "BadOrder", None)
    assert sentence in report.message


def test_no_order_at_all_is_refused(tmp_path):
    report = reported(tmp_path / "log", "")
    assert (report.state, report.reason) == ("Refused", "BadOrder")
    assert report.message.startswith("$PERFRUN_FAULT: expected a fault order")


def test_a_defect_is_reported_as_something_that_undo_has_to_look_at(tmp_path, monkeypatch):
    def breaks(*_):
        raise ZeroDivisionError("what")

    monkeypatch.setattr(program, "_dispatch", breaks)
    report = reported(tmp_path / "log", FaultOrder("f1", "run", "node", "isolate", 100.0, 115.0).to_json())
    assert (report.state, report.reason) == ("Left", "Broke")
    assert "ZeroDivisionError: what" in report.message


def test_the_report_is_printed_too_where_it_cannot_be_left(tmp_path, capsys):
    program.main({contract.FAULT_ENV: "", contract.TERMINATION_LOG_ENV: str(tmp_path / "no" / "log")})
    *_, last = capsys.readouterr().out.splitlines()
    report = FaultReport.from_json(last.removeprefix(contract.REPORT_PREFIX))
    assert report.reason == "BadOrder"


def test_a_report_fits_into_a_termination_message():
    report = FaultReport("f" * 63, "n" * 253, "isolate", "Left", message="m" * 9999, proof="\u00fc" * 9999)
    text = report.to_json()
    assert len(text.encode()) <= contract.TERMINATION_LIMIT
    assert FaultReport.from_json(text).state == "Left"
