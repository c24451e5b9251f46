import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any

import pytest
import torch

from perfrun_kernels import program, runner
from perfrun_kernels.contract import Request, Result, Scalar, Series
from perfrun_kernels.faults import BrokenMeasurementError, Terminated, UnmeasurableError
from perfrun_kernels.handin import Destination
from perfrun_kernels.program import Measurement, Task

REQUEST = Request(run="r", stage="s", attempt=2, kind="probe", parameters={"a": 1}, budget_seconds=9)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what makes a Result from a program given as a function."""

    def go(probe: Any, request: Request = REQUEST, destination: Destination | None = None) -> Result:
        module = ModuleType("probe_program")
        module.run = probe  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "probe_program", module)
        monkeypatch.setattr(program, "KINDS", {"probe": "probe_program"})
        return runner.run(request, runner.Order(), None, destination)

    return go


def raising(error: BaseException) -> Any:
    def probe(_: Task) -> Measurement:
        raise error

    return probe


def test_what_was_measured_becomes_a_completed_result(run: Any) -> None:
    def probe(task: Task) -> Measurement:
        assert (task.parameters, task.budget_seconds) == ({"a": 1}, 9)
        return Measurement(1.0, 2.0, {"x": Series("s", [0.5])}, {"y": Scalar("1/s", 3.0)}, {"z": "w"})

    result = run(probe)
    assert (result.run, result.stage, result.attempt, result.outcome) == ("r", "s", 2, "Completed")
    assert (result.started, result.finished, result.facts) == (1.0, 2.0, {"z": "w"})
    assert Result.from_json(result.to_json()) == result


class Operator(ThreadingHTTPServer):
    """Takes what is PUT, with the status that it is told."""

    def __init__(self, status: int) -> None:
        taken: list[tuple[str, Result]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                taken.append((self.path, Result.from_json(body.decode())))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Stay quiet."""

        super().__init__(("127.0.0.1", 0), Handler)
        self.taken = taken
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


@pytest.mark.parametrize("status", [200, 500, 403])
def test_what_a_program_has_is_handed_in_while_it_goes_on(run: Any, status: int) -> None:
    def probe(task: Task) -> Measurement:
        task.checkpoint(Measurement(1.0, 2.0, {}, {"y": Scalar("1", 3.0)}, {}))
        task.checkpoint(Measurement(1.0, 2.0, {"x": Series("s", [float("nan")])}, {}, {}))
        return Measurement(1.0, 4.0, {}, {"y": Scalar("1", 5.0)}, {})

    operator = Operator(status)
    result = run(probe, destination=Destination(f"http://127.0.0.1:{operator.server_port}/results/n/r/s/2"))
    operator.shutdown()
    operator.server_close()
    assert (result.finished, result.outcome) == (4.0, "Completed")
    # One try each, whatever comes of it; what no result can hold is not sent.
    [(path, part)] = operator.taken
    assert path == "/results/n/r/s/2?partial=1"
    assert (part.outcome, part.attempt, part.finished, part.scalars["y"].value) == ("Completed", 2, 2.0, 3.0)
    assert run(probe).outcome == "Completed"


@pytest.mark.parametrize(
    ("error", "outcome", "reason", "message"),
    [
        (UnmeasurableError("NoGPU", "there is none"), "Unmeasurable", "NoGPU", "there is none"),
        (BrokenMeasurementError("LogitsNotFinite", "bad"), "Failed", "LogitsNotFinite", "bad"),
        (MemoryError(), "Unmeasurable", "OutOfMemory", "memory ran out: MemoryError"),
        (torch.OutOfMemoryError("CUDA out of memory\nmore"), "Unmeasurable", "OutOfMemory", "CUDA out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "Unmeasurable", "OutOfMemory", "can't allocate"),
        (
            torch.AcceleratorError("CUDA error: all CUDA-capable devices are busy or unavailable"),
            "Unmeasurable", "GPUBusy", "the GPU is taken by another process: AcceleratorError: CUDA error",
        ),
        (
            RuntimeError("CUDA error: uncorrectable ECC error encountered"),
            "Unmeasurable", "GPUErrors", "the GPU's memory failed: RuntimeError",
        ),
        (RuntimeError("odd"), "Failed", "Defect", "the program probe broke with RuntimeError: odd"),
        (KeyboardInterrupt(), "Failed", "Defect", "the program probe broke with KeyboardInterrupt"),
        (SystemExit(3), "Failed", "Defect", "SystemExit: 3"),
        (Terminated(), "Failed", "Terminated", "the pod was told to stop after"),
    ],
)  # fmt: skip
def test_every_end_is_a_result(run: Any, error: BaseException, outcome: str, reason: str, message: str) -> None:
    result = run(raising(error))
    assert (result.outcome, result.reason) == (outcome, reason)
    assert message in result.message
    assert result.series == {}


def test_counts_come_with_what_could_not_be_measured(run: Any) -> None:
    assert run(raising(UnmeasurableError("Stalled", "x", {"streams_failed": 3}))).facts == {"streams_failed": 3}


def test_a_number_that_json_cannot_hold_is_a_defect_not_a_silence(run: Any) -> None:
    result = run(lambda _: Measurement(1.0, 2.0, {"x": Series("s", [float("nan")])}, {}, {}))
    assert (result.outcome, result.reason) == ("Failed", "Defect")


def test_an_unknown_kind_names_the_known_ones() -> None:
    request = Request(run="r", stage="s", attempt=1, kind="dance", parameters={}, budget_seconds=1)
    result = runner.run(request, runner.Order())
    assert (result.outcome, result.reason) == ("Failed", "BadParameters")
    assert f"kind is 'dance'; expected one of {', '.join(sorted(program.KINDS))}" in result.message


@pytest.mark.parametrize(
    ("engine", "library"), [("builtin", "torch"), ("builtin", "transformers"), ("openai", "aiohttp")]
)
def test_a_missing_library_is_named(engine: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("perfrun_kernels.sampling")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    parameters: dict[str, Any] = {
        "engine": engine, "batch_size": 1, "sequence_length": 2, "num_tokens": 2,
        **({"url": "http://x/v1", "model_name": "m"} if engine == "openai" else {}),
    }  # fmt: skip
    request = Request(run="r", stage="s", attempt=1, kind="sampling", parameters=parameters, budget_seconds=1)
    result = runner.run(request, runner.Order())
    assert (result.outcome, result.reason) == ("Unmeasurable", "MissingLibrary")
    assert f"the library {library} is not in this image" in result.message


def test_an_order_counts_once_and_only_while_a_program_runs(run: Any) -> None:
    order = runner.Order()
    order.received(signal.SIGTERM, None)
    order.raises = True
    with pytest.raises(Terminated):
        order.received(signal.SIGTERM, None)
    order.received(signal.SIGTERM, None)
    assert run(raising(ValueError("x"))).reason == "Defect"
