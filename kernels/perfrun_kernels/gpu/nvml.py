"""One GPU, or one MIG instance of it, read through NVML.

An instance has memory and processes of its own; clocks, power and memory errors are those of the whole card. Figures
that a card does not offer are absent. Memory and processes every card offers, and where they cannot be read the
library's own error is raised.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

REASONS: Final = {
    0x08: "hardware slowdown", 0x10: "held back with other cards", 0x20: "thermal slowdown by software",
    0x40: "thermal slowdown by hardware", 0x80: "power brake",
}  # fmt: skip
"""Reasons for low clocks (nvmlClocksEventReasons of nvml.h) that come from outside and are no setting of the card."""

POWER_CAP: Final = 0x04
"""The card draws what it may. Under load that is usual, unless it may draw less than it was made for."""


@attrs.frozen
class Reading:
    """What one look showed.

    ``own`` are the bytes that this process holds, as ``source`` says; ``used`` those that are taken in all. ``others``
    are the processes besides this one. ``throttled`` is words, empty where nothing held the card back, or None where it
    does not tell. ``clock`` is in MHz, ``power`` in watts, ``temperature`` in degrees Celsius, ``utilisation`` a share
    of the time in which any kernel ran.
    """

    own: int
    source: str
    used: int
    others: int
    throttled: tuple[str, ...] | None
    clock: float | None
    power: float | None
    temperature: float | None
    utilisation: float | None


class Gpu:
    """A GPU that this process computes on.

    Inside a container NVML may list processes under the host's ids, which this process cannot know for its own. A
    single listed process is then taken for this one; with several, the growth of all memory in use since this object
    was made stands in, and the reading's source says so.

    ``before`` are the bytes that were in use when this object was made, ``uuid`` is the card's, by which other tools
    know it too, and ``driver`` the driver's version.
    """

    def __init__(self, nvml: Any, uuid: str) -> None:
        """Find the device with ``uuid``, as CUDA writes it, without a prefix; raises the library's NVMLError."""
        nvml.nvmlInit()
        self._nvml = nvml
        self._handle, self._card = self._find(uuid)
        self.before = self._used()
        self.uuid = str(nvml.nvmlDeviceGetUUID(self._card))
        self.driver = str(nvml.nvmlSystemGetDriverVersion())
        self._errors_before = self._uncorrected()

    @property
    def instance(self) -> bool:
        """Whether this is a MIG instance rather than a whole card."""
        return self._handle is not self._card

    def read(self) -> Reading:
        """Look once; raises the library's NVMLError."""
        nvml, used, processes = self._nvml, self._used(), self._processes()
        own, source = self._own(processes, used)
        power = self._offered(nvml.nvmlDeviceGetPowerUsage, self._card)
        # An instance does not tell its own utilisation, and the card's is that of all instances.
        busy = None if self.instance else self._offered(nvml.nvmlDeviceGetUtilizationRates, self._card)
        return Reading(
            own=own,
            source=source,
            used=used,
            others=max(0, len(processes) - 1),
            throttled=self._throttled(),
            clock=self._offered(nvml.nvmlDeviceGetClockInfo, self._card, nvml.NVML_CLOCK_SM),
            power=None if power is None else power / 1000,
            temperature=self._offered(nvml.nvmlDeviceGetTemperature, self._card, nvml.NVML_TEMPERATURE_GPU),
            utilisation=None if busy is None else busy.gpu / 100,
        )

    def errors(self) -> int | None:
        """Return the uncorrected memory errors since this object was made, or None where the card counts none."""
        now = self._uncorrected()
        return None if now is None or self._errors_before is None else now - self._errors_before

    def highest_clock(self) -> float | None:
        """Return the highest clock of the card in MHz."""
        clock = self._offered(self._nvml.nvmlDeviceGetMaxClockInfo, self._card, self._nvml.NVML_CLOCK_SM)
        return None if clock is None else float(clock)

    def _find(self, uuid: str) -> tuple[Any, Any]:
        """Return the handles of what computes and of the card that it is on; they are the same without MIG."""
        nvml = self._nvml
        instance = self._offered(nvml.nvmlDeviceGetHandleByUUID, f"MIG-{uuid}")
        if instance is not None:
            return instance, nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(instance)
        card = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        mode = self._offered(nvml.nvmlDeviceGetMigMode, card)
        if mode is None or mode[0] != nvml.NVML_DEVICE_MIG_ENABLE:
            return card, card
        # CUDA may name the card where it computes on an instance; a container sees those that it was given.
        count = nvml.nvmlDeviceGetMaxMigDeviceCount(card)
        seen = [self._offered(nvml.nvmlDeviceGetMigDeviceHandleByIndex, card, index) for index in range(count)]
        known = [each for each in seen if each is not None]
        return (known[0], card) if len(known) == 1 else (card, card)

    def _used(self) -> int:
        # The second version leaves out what the driver reserves for itself; drivers before 510 have the first only.
        nvml = self._nvml
        newer = self._offered(nvml.nvmlDeviceGetMemoryInfo, self._handle, nvml.nvmlMemory_v2)
        return int((newer or nvml.nvmlDeviceGetMemoryInfo(self._handle)).used)

    def _processes(self) -> dict[int, int | None]:
        """Return the bytes of each process by id: those that compute, directly or through MPS, and those that draw."""
        nvml = self._nvml
        found = list(nvml.nvmlDeviceGetComputeRunningProcesses(self._handle))
        for more in (nvml.nvmlDeviceGetMPSComputeRunningProcesses, nvml.nvmlDeviceGetGraphicsRunningProcesses):
            found += self._offered(more, self._handle) or []
        return {each.pid: each.usedGpuMemory for each in found}

    def _own(self, processes: dict[int, int | None], used: int) -> tuple[int, str]:
        mine = processes.get(os.getpid())
        if mine is not None:
            return int(mine), "NVML, this process"
        only = next(iter(processes.values())) if len(processes) == 1 else None
        if only is not None:
            return int(only), "NVML, the only process on the device"
        return max(0, used - self.before), "NVML, growth of the device's used memory"

    def _throttled(self) -> tuple[str, ...] | None:
        nvml = self._nvml
        bits = self._offered(nvml.nvmlDeviceGetCurrentClocksEventReasons, self._card)
        if bits is None:
            # The same by the name that drivers before 535 know.
            bits = self._offered(nvml.nvmlDeviceGetCurrentClocksThrottleReasons, self._card)
        if bits is None:
            return None
        words = [word for bit, word in REASONS.items() if bits & bit]
        if bits & POWER_CAP:
            may = self._offered(nvml.nvmlDeviceGetEnforcedPowerLimit, self._card)
            made_for = self._offered(nvml.nvmlDeviceGetPowerManagementDefaultLimit, self._card)
            if may is not None and made_for is not None and may < made_for:
                words.append(f"power limited to {may / 1000:.0f} of {made_for / 1000:.0f} W")
        return tuple(words)

    def _uncorrected(self) -> int | None:
        nvml = self._nvml
        count = self._offered(
            nvml.nvmlDeviceGetTotalEccErrors,
            self._card,
            nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
            nvml.NVML_VOLATILE_ECC,
        )
        return None if count is None else int(count)

    def _offered(self, ask: Callable[..., Any], *arguments: object) -> Any:
        """Return what NVML answers, or None where this card, driver or container does not offer it."""
        try:
            return ask(*arguments)
        except self._nvml.NVMLError:
            return None


def shown(nvml: Any) -> str:
    """Return in words the GPUs that the driver shows to this process, or that it is broken; empty where there is none.

    A pod with a GPU whose driver does not fit must not be taken for one without a GPU.
    """
    try:
        nvml.nvmlInit()
        count = nvml.nvmlDeviceGetCount()
        driver = nvml.nvmlSystemGetDriverVersion()
    except nvml.NVMLError as error:
        broken = getattr(error, "value", None) == nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH
        return f"an NVIDIA driver that does not work ({error})" if broken else ""
    return f"{count} GPU{'s' if count > 1 else ''} with driver {driver}" if count else ""
