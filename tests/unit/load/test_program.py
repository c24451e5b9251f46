"""The load program as a benchmark pod runs it."""

import pytest

from perfrun.measuring import histograms
from perfrun_kernels import contract
from perfrun_kernels.contract import Request, Result
from perfrun_kernels.faults import ParametersError, UnmeasurableError
from perfrun_kernels.load import generator, main
from perfrun_kernels.program import Task
from perfrun_kernels.runner import Order, run


def request(**parameters):
    return Request("r", "load", 0, "load", parameters, 30.0)


def test_a_run_ends_in_a_result_with_books_histograms_and_windows(serve):
    server = serve(name="node-a")
    result = run(request(url=server.url, schedule=[{"seconds": 1, "rate": 200}], arrivals="constant", run="x"), Order())
    assert (result.outcome, result.message) == ("Completed", "")
    again = Result.from_json(result.to_json())
    assert again == result
    assert again.scalars["ledger.ok"].value == again.scalars["ledger.scheduled"].value == 200
    latency = again.histograms["latency"]
    assert histograms.decode(latency.data, latency.unit, latency.scale).total == 200
    windows = again.tables["windows"]
    served = windows.columns.index("served:node-a")
    assert sum(row[served] for row in windows.rows) == 200


def test_a_result_without_histograms_reads_as_before():
    text = Result("r", "s", 0, "Completed", 1.0, 2.0).to_json()
    assert "histograms" not in text
    assert "tables" not in text


def test_a_ragged_table_is_refused():
    table = contract.Table(["a", "b"], [[1.0]])
    text = Result("r", "s", 0, "Completed", 1.0, 2.0, tables={"t": table}).to_json()
    with pytest.raises(contract.ContractError, match="2 finite numbers"):
        Result.from_json(text)


def test_all_problems_are_named_at_once():
    with pytest.raises(ParametersError) as raised:
        main.run(Task({"url": "ftp://x", "retries": -1, "nonsense": 1}, 10.0, print))
    for part in ("url", "schedule", "retries", "nonsense"):
        assert f"parameters.{part} is " in str(raised.value)


def test_a_schedule_beyond_the_budget_is_refused(serve):
    with pytest.raises(ParametersError, match="shorten it or raise the budget"):
        main.run(Task({"url": "http://x/", "schedule": [{"seconds": 100, "rate": 1}]}, 10.0, print))


def test_a_rate_beyond_the_generator_is_told_before_anything_counts(serve):
    wanted = {"url": serve().url, "schedule": [{"seconds": 1, "rate": 5e6}], "probe": True, "deadline_seconds": 1.0}
    with pytest.raises(UnmeasurableError, match="generator saturated at") as raised:
        main.run(Task(wanted, 60.0, print))
    assert raised.value.reason == "GeneratorSaturated"


def test_a_missing_binary_is_said_in_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv(generator.BINARY_ENV, str(tmp_path / "absent"))
    with pytest.raises(UnmeasurableError, match="no program that can be started"):
        generator.binary()
