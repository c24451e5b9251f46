"""The load program as a benchmark pod runs it."""

import time

import pytest

from perfrun.measuring import histograms
from perfrun_kernels import contract
from perfrun_kernels.contract import Request, Result
from perfrun_kernels.faults import ParametersError, UnmeasurableError
from perfrun_kernels.load import main, proving, records
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


@pytest.mark.parametrize(
    ("seconds", "steps"), [(None, 4), (60.0, 4), (5.1, 4), (4.5, 3), (3.2, 1), (3.0, 0), (0.0, 0), (-5.0, 0)]
)
def test_the_proof_ends_before_the_common_start(seconds, steps):
    assert proving.steps_within(seconds) == steps


def test_a_proof_without_time_is_left_out_and_the_load_is_offered(serve):
    server = serve()
    wanted = {"url": server.url, "schedule": [{"seconds": 0.5, "rate": 100}], "probe": True, "run": "x"}
    start_at = time.time() + 2
    measured = main.run(Task({**wanted, "start_at": start_at, "arrivals": "constant"}, 30.0, print))
    assert measured.scalars["ledger.ok"].value == 50
    assert measured.started == pytest.approx(start_at, abs=1e-3)
    assert measured.scalars["offerable_rate"].value is None
    assert str(measured.facts["probe"]).startswith("left out: the common start was ")
    assert not any(name.startswith("probe") for name in server.seen)


def test_a_proof_takes_the_time_that_there_is(serve):
    wanted = {"url": serve().url, "schedule": [{"seconds": 0.5, "rate": 100}], "probe": True, "run": "x"}
    task = Task({**wanted, "start_at": time.time() + 3.6, "probe_lateness_seconds": 10.0}, 30.0, print)
    measured = main.run(task)
    assert measured.scalars["offerable_rate"].value == 100
    assert str(measured.facts["probe"]).startswith("shortened to 1 of 4 steps: the common start was ")


def test_pods_of_a_job_are_its_shards(serve):
    server = serve()
    asked = request(url=server.url, schedule=[{"seconds": 0.5, "rate": 100}], arrivals="constant", run="x", shards=2)
    results = [run(asked, Order(), index) for index in range(2)]
    assert [each.facts["shard"] for each in results] == [0, 1]
    assert [each.scalars["ledger.ok"].value for each in results] == [25, 25]
    assert {name.split("-")[1] for name in server.seen} == {"0", "1"}
    beyond = run(asked, Order(), 2)
    assert (beyond.outcome, beyond.reason) == ("Failed", "BadParameters")
    assert "more than 2" in beyond.message


def test_what_got_no_good_answer_is_in_a_table(serve):
    server = serve(lambda _, name: "503 Busy" if name.split("-")[-2] == "7" else "200 OK")
    result = run(request(url=server.url, schedule=[{"seconds": 0.2, "rate": 100}], arrivals="constant"), Order())
    table = Result.from_json(result.to_json()).tables["unanswered"]
    assert (table.columns, table.rows) == (["number", "outcome"], [[7.0, float(records.OUTCOMES.index("error"))]])
    assert result.scalars["unanswered.truncated"].value == 0


def test_steps_of_the_load_have_histograms_of_their_own(serve):
    steps = [{"seconds": 0.2, "rate": 100}, {"seconds": 0.2, "rate": 300}]
    result = run(request(url=serve().url, schedule=steps, arrivals="constant"), Order())
    read = {name: histograms.decode(each.data, each.unit, each.scale) for name, each in result.histograms.items()}
    assert [read[f"latency.{step}"].total for step in range(2)] == [20, 60]
    for name in ("latency", "first_latency", "lateness"):
        assert histograms.merge([read[f"{name}.0"], read[f"{name}.1"]]) == read[name]
