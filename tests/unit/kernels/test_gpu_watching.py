"""What is read of a GPU, with NVML's answers as they are recorded in nvml.h's terms, for machines that have none."""

# ruff: noqa: N802 -- the names are the library's

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
import torch

from perfrun_kernels.contract import Scalar
from perfrun_kernels.gpu import watching
from perfrun_kernels.gpu.nvml import shown

PID = 4711
CARD = "GPU-abc"


class NVMLError(Exception):
    """As in the library."""

    value = 0


@attrs.define
class Nvml:
    """Answers as the NVML library gives them; what is None is not offered by this card."""

    NVMLError = NVMLError
    NVML_CLOCK_SM = 1
    NVML_TEMPERATURE_GPU = 0
    NVML_DEVICE_MIG_ENABLE = 1
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED = 1
    NVML_VOLATILE_ECC = 0
    NVML_ERROR_LIB_RM_VERSION_MISMATCH = 18
    nvmlMemory_v2 = 2  # noqa: N815 -- the library's name

    processes: list[tuple[int, int | None]] = attrs.field(factory=lambda: [(PID, 300)])
    drawing: list[tuple[int, int | None]] = attrs.field(factory=list)
    used: int = 0
    reasons: int | None = 0
    limits: tuple[int, int] = (700_000, 700_000)
    errors: int | None = 0
    instances: tuple[str, ...] = ()
    named_by_instance: bool = False
    broken: str = ""
    cards: int = 1

    def __getattr__(self, name: str) -> Any:
        """Offer nothing that is not below, as an old driver does."""
        if name.startswith("nvml"):
            return self._nothing
        raise AttributeError(name)

    def _nothing(self, *_: object) -> None:
        raise NVMLError("Not Supported")

    def nvmlInit(self) -> None:
        if self.broken:
            raise NVMLError(self.broken)

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.1"

    def nvmlDeviceGetCount(self) -> int:
        return self.cards

    def nvmlDeviceGetUUID(self, handle: str) -> str:
        return handle

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid == CARD or (self.named_by_instance and uuid == "MIG-abc"):
            return uuid
        raise NVMLError("Not Found")

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, _: str) -> str:
        return CARD

    def nvmlDeviceGetMigMode(self, _: str) -> list[int]:
        return [int(bool(self.instances)), 0]

    def nvmlDeviceGetMaxMigDeviceCount(self, _: str) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, _: str, index: int) -> str:
        if index < len(self.instances):
            return self.instances[index]
        raise NVMLError("Not Found")

    def nvmlDeviceGetMemoryInfo(self, _: str, version: int | None = None) -> SimpleNamespace:
        if self.broken:
            raise NVMLError(self.broken)
        assert version == self.nvmlMemory_v2
        return SimpleNamespace(used=self.used)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[SimpleNamespace]:
        if self.instances and handle == CARD:
            raise NVMLError("a card with instances has no processes of its own")
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in self.processes]

    def nvmlDeviceGetGraphicsRunningProcesses(self, _: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in self.drawing]

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: str) -> int:
        assert handle == CARD
        return self._or_nothing(self.reasons)

    def nvmlDeviceGetEnforcedPowerLimit(self, _: str) -> int:
        return self.limits[0]

    def nvmlDeviceGetPowerManagementDefaultLimit(self, _: str) -> int:
        return self.limits[1]

    def nvmlDeviceGetTotalEccErrors(self, _: str, kind: int, counter: int) -> int:
        assert (kind, counter) == (self.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, self.NVML_VOLATILE_ECC)
        return self._or_nothing(self.errors)

    def nvmlDeviceGetClockInfo(self, _: str, kind: int) -> int:
        assert kind == self.NVML_CLOCK_SM
        return 1980

    def _or_nothing(self, value: int | None) -> int:
        if value is None:
            raise NVMLError("Not Supported")
        return value


def watch(nvml: Nvml, monkeypatch: pytest.MonkeyPatch) -> watching.Watch:
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr("os.getpid", lambda: PID)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="abc"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 77)
    return watching.watch(torch.device("cuda"))


def numbers(watched: watching.Watch) -> dict[str, float | None]:
    return {name: scalar.value for name, scalar in watched.scalars().items()}


@pytest.mark.parametrize(
    ("processes", "growth", "expected", "source"),
    [
        ([(1, 5), (PID, 300)], 0, 300, "NVML, this process"),
        ([(1, 400)], 0, 400, "NVML, the only process on the device"),
        ([(1, 5), (2, 6)], 700, 700, "NVML, growth of the device's used memory"),
        ([(1, None)], 600, 600, "NVML, growth of the device's used memory"),
        ([], -100, 0, "NVML, growth of the device's used memory"),
    ],
)
def test_gpu_memory_is_this_process_or_says_what_else(
    processes: list[tuple[int, int | None]], growth: int, expected: int, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml = Nvml(processes, used=1000)
    watched = watch(nvml, monkeypatch)
    nvml.used += growth
    assert watched.held() == expected
    found = numbers(watched)
    assert (found["gpu_memory_peak"], found["torch_memory_peak"], found["gpu.taken"]) == (expected, 77, 1000)
    assert watched.facts()["gpu_memory_source"] == source


def test_the_peak_is_kept_and_what_is_held_now_is_not_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml([(PID, 300)])
    with watch(nvml, monkeypatch) as watched:
        watched.look()
        nvml.processes = [(PID, 100)]
        assert watched.held() == 100
    assert numbers(watched)["gpu_memory_peak"] == 300


def test_a_library_that_cannot_read_gives_the_reason_and_no_all_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = watch(Nvml(broken="driver mismatch"), monkeypatch)
    found = watched.scalars()
    for name in ("gpu_memory_peak", "gpu.throttled"):
        assert (found[name].value, found[name].reason) == (None, "NVML cannot read this GPU: driver mismatch")
    assert watched.held() is None
    assert watched.facts() == {"gpu_memory_source": "none"}


def test_a_gpu_that_is_lost_on_the_way_gives_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml()
    watched = watch(nvml, monkeypatch)
    watched.look()
    nvml.broken = "GPU is lost"
    assert watched.scalars()["gpu.throttled"].reason == "NVML cannot read this GPU: GPU is lost"


@pytest.mark.parametrize(
    ("reasons", "limit", "throttle"),
    [
        (0x00, 700_000, None), (0x01, 700_000, None), (0x02, 700_000, None),
        (0x04, 700_000, None), (0x04, 300_000, "power limited to 300 of 700 W"),
        (0x20, 700_000, "thermal slowdown by software"),
        (0x48, 700_000, "hardware slowdown, thermal slowdown by hardware"),
        (0x80, 700_000, "power brake"), (0x10, 700_000, "held back with other cards"),
    ],
)  # fmt: skip
def test_a_card_is_throttled_by_what_comes_from_outside_only(
    reasons: int, limit: int, throttle: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = watch(Nvml(reasons=reasons, limits=(limit, 700_000)), monkeypatch)
    watched.look()
    assert numbers(watched)["gpu.throttled"] == (1.0 if throttle else 0.0)
    assert watched.facts().get("gpu_throttle") == throttle


def test_throttling_is_told_as_its_share_of_all_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml()
    watched = watch(nvml, monkeypatch)
    for reasons in (0, 0x40, 0):
        nvml.reasons = reasons
        watched.look()
    found = numbers(watched)
    assert (found["gpu.throttled"], found["gpu.readings"]) == (1 / 4, 4)


def test_a_card_that_does_not_tell_why_its_clocks_are_low_is_not_taken_for_a_fast_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scalar = watch(Nvml(reasons=None), monkeypatch).scalars()["gpu.throttled"]
    assert (scalar.value, scalar.reason) == (None, watching.NOT_TOLD)


def test_others_are_counted_whether_they_compute_or_draw_and_the_most_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml([(PID, 300), (2, 5)], drawing=[(2, 5), (3, 1)])
    watched = watch(nvml, monkeypatch)
    watched.look()
    nvml.processes, nvml.drawing = [(PID, 300)], []
    assert numbers(watched)["gpu.others"] == 2


@pytest.mark.parametrize(("before", "after", "expected"), [(4, 4, 0), (4, 6, 2), (None, None, None)])
def test_only_memory_errors_of_this_time_count(
    before: int | None, after: int | None, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml = Nvml(errors=before)
    watched = watch(nvml, monkeypatch)
    nvml.errors = after
    assert numbers(watched).get("gpu.errors") == expected


@pytest.mark.parametrize("named", [True, False])
def test_an_instance_has_memory_of_its_own_and_the_cards_clocks(named: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml(instances=("MIG-abc",), named_by_instance=named, reasons=0x40)
    watched = watch(nvml, monkeypatch)
    watched.look()
    facts = watched.facts()
    assert (facts["gpu_mig"], facts["gpu_clock_mhz"], facts["gpu_driver"]) == (True, 1980, "580.1")
    assert facts["gpu_uuid"] == CARD
    assert "gpu_utilisation" not in facts
    assert numbers(watched)["gpu_memory_peak"] == 300


def test_figures_that_a_card_does_not_offer_are_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = watch(Nvml(), monkeypatch)
    watched.look()
    assert {"gpu_power_watts", "gpu_temperature_celsius", "gpu_utilisation", "gpu_clock_max_mhz"} & set(
        watched.facts()
    ) == set()


def test_without_a_gpu_both_figures_are_absent_and_nothing_else_is_said() -> None:
    with watching.watch(torch.device("cpu")) as watched:
        watched.look()
    assert watched.scalars() == {
        name: Scalar("bytes", None, watching.NO_GPU) for name in ("gpu_memory_peak", "torch_memory_peak")
    }
    assert (watched.held(), watched.facts()) == (None, {"gpu_memory_source": "none"})


@pytest.mark.parametrize(
    ("cards", "broken", "code", "said"),
    [
        (1, "", 0, "1 GPU with driver 580.1"), (2, "", 0, "2 GPUs with driver 580.1"), (0, "", 0, ""),
        (1, "mismatch", 18, "an NVIDIA driver that does not work (mismatch)"),
        (1, "NVML Shared Library Not Found", 12, ""),
    ],
)  # fmt: skip
def test_what_a_driver_shows_is_told_even_where_it_is_of_no_use(
    cards: int, broken: str, code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NVMLError, "value", code)
    assert shown(Nvml(cards=cards, broken=broken)) == said
