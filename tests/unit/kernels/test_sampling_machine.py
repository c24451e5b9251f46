import resource
from pathlib import Path

import pytest

from perfrun_kernels.sampling import cpus, memory


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


def test_the_hosts_memory_at_its_peak_is_no_less_than_what_is_held_now() -> None:
    held = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    peak = memory.host_memory_peak()
    assert peak.unit == "bytes"
    # The kernel's counters are off by up to some hundred pages.
    assert peak.value is not None
    assert peak.value >= held * 0.95
