from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from perfrun_kernels.sampling import cpus, memory

PID = 4711


@pytest.mark.parametrize(
    ("text", "affinity", "expected"),
    [
        ("max 100000\n", 8, 8), ("200000 100000\n", 8, 2), ("150000 100000\n", 8, 2), ("50000 100000\n", 8, 1),
        ("900000 100000\n", 4, 4), ("nonsense\n", 3, 3),
    ],
)  # fmt: skip
def test_threads_respect_the_pods_limit(
    text: str, affinity: int, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(affinity)))
    (tmp_path / "cpu.max").write_text(text)
    assert cpus.usable(tmp_path / "cpu.max") == expected


def test_without_a_cgroup_the_affinity_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    assert cpus.usable(tmp_path / "absent") == 3


def test_the_processor_has_a_name(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Fast CPU @ 9 GHz\n")
    assert cpus.name(tmp_path / "cpuinfo") == "Fast CPU @ 9 GHz"
    assert cpus.name(tmp_path / "absent") != ""


class Nvml:
    """What the NVML library would say, for machines without a GPU."""

    class NVMLError(Exception):
        """As in the library."""

    def __init__(self, processes: list[tuple[int, int | None]], used: list[int], *, broken: bool = False) -> None:
        self.processes = processes
        self.used = used
        self.broken = broken

    def nvmlInit(self) -> None:  # noqa: N802 -- the library's name
        if self.broken:
            raise self.NVMLError("driver mismatch")

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802 -- the library's name
        return uuid

    def nvmlDeviceGetMemoryInfo(self, _: str) -> SimpleNamespace:  # noqa: N802 -- the library's name
        return SimpleNamespace(used=self.used.pop(0) if len(self.used) > 1 else self.used[0])

    def nvmlDeviceGetComputeRunningProcesses(self, _: str) -> list[SimpleNamespace]:  # noqa: N802 -- the library's name
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in self.processes]


def watch(nvml: Nvml, monkeypatch: pytest.MonkeyPatch) -> memory.NvmlWatch:
    monkeypatch.setitem(__import__("sys").modules, "pynvml", nvml)
    monkeypatch.setattr("os.getpid", lambda: PID)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="abc"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 77)
    device: Any = SimpleNamespace()
    return memory.NvmlWatch(device)


@pytest.mark.parametrize(
    ("processes", "used", "expected", "source"),
    [
        ([(1, 5), (PID, 300)], [0], 300, "NVML, this process"),
        ([(1, 400)], [0], 400, "NVML, the only process on the device"),
        ([(1, 5), (2, 6)], [1000, 1700], 700, "NVML, growth of the device's used memory"),
        ([(1, None)], [1000, 1600], 600, "NVML, growth of the device's used memory"),
        ([], [1000, 900], 0, "NVML, growth of the device's used memory"),
    ],
)
def test_gpu_memory_is_this_process_or_says_what_else(
    processes: list[tuple[int, int | None]], used: list[int], expected: int, source: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    watched = watch(Nvml(processes, used), monkeypatch)
    watched.look()
    assert watched.scalars()["gpu_memory_peak"].value == expected
    assert watched.scalars()["torch_memory_peak"].value == 77
    assert watched.source() == source


def test_the_peak_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml([(PID, 300)], [0])
    with watch(nvml, monkeypatch) as watched:
        watched.look()
        nvml.processes = [(PID, 100)]
    assert watched.scalars()["gpu_memory_peak"].value == 300


def test_a_library_that_cannot_read_gives_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    found = watch(Nvml([], [0], broken=True), monkeypatch).scalars()["gpu_memory_peak"]
    assert (found.value, found.reason) == (None, "NVML cannot read this GPU: driver mismatch")
