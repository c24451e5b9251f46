"""What the real generator hands in, measured by the capabilities that its figures are for."""

import datetime as dt
import time

import attrs
import pytest

from perfrun.api.faults import FaultStatus, NodeFault, ServingNode
from perfrun.api.plan import Claim
from perfrun.capabilities.base import Evidence, NotMeasured, ServedIds
from perfrun.capabilities.faults import Faults
from perfrun.capabilities.load import Load
from perfrun_kernels.contract import Request, Result
from perfrun_kernels.runner import Order, run

RATE = 500
SERVING = (ServingNode(node="node-a", pods=("web-1",), cpu=2.0), ServingNode(node="node-b", pods=("web-2",), cpu=2.0))


def offered(server, *seconds, rate=RATE, **parameters):
    """Return the evidence of a load as its pods hand it in, after its way as JSON."""
    asked = {
        "url": server.url, "run": "r-s1-load-1", "schedule": [{"seconds": each, "rate": rate} for each in seconds],
        "window_seconds": 0.1, "arrivals": "constant", "deadline_seconds": 2.0, "attempt_seconds": 0.5, "loops": 2,
        "start_at": time.time() + 1,
    }  # fmt: skip
    result = run(Request("r", "s1-load", 1, "load", asked | parameters, 60.0), Order(), 0)
    return Evidence(shards=(Result.from_json(result.to_json()),), serving=SERVING, pod="r-s1-load-1")


def claim(subject, limit, unit, comparator="<", **parameters):
    return Claim(
        subject=subject, label=subject, comparator=comparator, limit=limit, unit=unit, parameters=parameters
    )  # fmt: skip


STEP = {"segment": 1, "begins": 1.0, "ends": 4.0, "latency_limit": None, "sustained": True, "quantile": 0.95}


def test_a_load_that_one_of_two_nodes_serves_is_uneven_and_its_response_times_are_known(serve):
    evidence = offered(serve(name="web-1"), 1.0, 3.0)
    difference = Load().measure(claim("load.difference", 10, "%", **STEP), evidence, 0.99)
    assert difference.value == pytest.approx(200)
    assert difference.facts["answers_by_node"] == {"node-a": difference.samples, "node-b": 0}
    latency = Load().measure(claim("load.response_time", 100, "ms", **STEP), evidence, 0.99)
    # On a busy machine times may drift; that is said then, and no number is given.
    if isinstance(latency, NotMeasured):
        assert latency.reason == "NoSteadyState", latency.message
    else:
        assert 0 < latency.lower <= latency.value <= latency.upper
        assert latency.samples == pytest.approx(3 * RATE, abs=2)


def test_a_failover_is_measured_and_held_against_the_ids_that_the_server_logged(serve):
    # One request gets no good answer, whatever is tried.
    server = serve(lambda _, name: "503 Busy" if name.split("-")[-2] == "1200" else "200 OK", name="web-1")
    evidence = offered(server, 2.0, 4.0, 1.0, retries=2, retry_budget=1.0)
    start = evidence.shards[0].started

    def at(seconds):
        return dt.datetime.fromtimestamp(start + seconds, dt.UTC)

    node = NodeFault(node="node-b", injected_at=at(2.02), not_ready_at=at(3), undone_at=at(6), clean_at=at(6.5))
    fault = FaultStatus(
        id="s1-fault", kind="isolate", backend="native", seed=0, nodes=(node,), state="Undone", starts_at=at(2),
        ends_at=at(6),
    )  # fmt: skip
    ids = ServedIds(ids=tuple(server.good), pods=("web-1",))
    known = attrs.evolve(evidence, fault=fault, ids=ids)
    parameters = {
        "baseline": 2.0, "fault": 4.0, "tail": 1.0, "floor": 60.0, "sustained": 1.0, "deadline": 2.0,
        "drop_resolution": 0.01, "connections": 64, "requests_per_connection": 1e9,
    }  # fmt: skip
    dropped = Faults().measure(claim("faults.dropped", 0, "requests", "<=", **parameters), known, 0.99)
    assert (dropped.value, dropped.lower) == (1, 1)
    assert dropped.facts["answered_but_not_logged"] == 0
    assert dropped.facts["logged"] == dropped.facts["ok"] == 3499
    assert dropped.facts["first_attempts_failed"] == 1
    recovery = Faults().measure(claim("faults.rebalance_time", 10, "s", "<=", **parameters), known, 0.99)
    assert recovery.facts["bad_by_cause"]["lost"] == 1
    assert 0.4 <= recovery.value <= 2
    floor = Faults().measure(claim("faults.throughput", 60, "%", ">", **parameters), known, 0.99)
    assert 60 < floor.value <= 101
    short = attrs.evolve(known, ids=ServedIds(ids=tuple(server.good[:-2]), pods=("web-1",)))
    told = Faults().measure(claim("faults.dropped", 0, "requests", "<=", **parameters), short, 0.99)
    assert told.facts["answered_but_not_logged"] == 2
