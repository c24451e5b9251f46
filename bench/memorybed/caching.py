"""A caching allocator that splits and merges as torch's does for CUDA, and counts as it does.

Its rules are those that torch documents for PYTORCH_CUDA_ALLOC_CONF and memory_stats: sizes are multiples of 512
bytes; requests of up to 1 MiB come from segments of 2 MiB, others of less than 10 MiB from segments of 20 MiB, larger
ones from segments of their own in steps of 2 MiB; the smallest block that fits is split where enough would be left;
neighbours that are free are merged.
"""

from __future__ import annotations

from typing import Any

import attrs

MIB = 1 << 20
SMALL, LARGE = MIB, 10 * MIB
ROUND = 512


@attrs.define(eq=False)
class Block:
    """A piece of a segment."""

    size: int
    small: bool
    live: bool = False
    before: Block | None = None
    after: Block | None = None

    @property
    def split(self) -> bool:
        """Return whether the block has neighbours."""
        return self.before is not None or self.after is not None


class Caching:
    """Serves as ``torch.cuda`` to whoever asks about memory; ``limit`` is the device's, in bytes."""

    def __init__(self, limit: int = 80 << 30) -> None:
        self._limit = limit
        self._free: list[Block] = []
        self._counts = dict.fromkeys(
            ("allocation.all.allocated", "num_device_alloc", "num_alloc_retries", "num_ooms"), 0
        )
        self._reserved = self._allocated = 0

    def allocate(self, size: int) -> Block:
        """Return a block of at least ``size`` bytes.

        Raises:
            MemoryError: the device has none left, even after the cache was freed.
        """
        size = -(-size // ROUND) * ROUND
        small = size <= SMALL
        self._counts["allocation.all.allocated"] += 1
        fitting = [each for each in self._free if each.small == small and each.size >= size]
        block = min(fitting, key=lambda each: each.size) if fitting else self._grow(size, small=small)
        if block in self._free:
            self._free.remove(block)
        left = block.size - size
        if left >= ROUND and (small or left > SMALL):
            rest = Block(left, small, before=block, after=block.after)
            if block.after is not None:
                block.after.before = rest
            block.size, block.after = size, rest
            self._free.append(rest)
        block.live = True
        self._allocated += block.size
        return block

    def free(self, block: Block) -> None:
        """Take a block back."""
        self._allocated -= block.size
        block.live = False
        for one, other in ((block, block.after), (block.before, block)):
            if one is not None and other is not None and not one.live and not other.live:
                self._merge(one, other)
                block = one
        if block not in self._free:
            self._free.append(block)

    def empty_cache(self) -> None:
        """Give back what is whole."""
        for block in [each for each in self._free if not each.split]:
            self._free.remove(block)
            self._reserved -= block.size

    def synchronize(self, device: object) -> None:
        """Do nothing: there is no device."""

    def memory_snapshot(self) -> list[dict[str, Any]]:
        """Return that no segment is expandable."""
        return []

    def memory_stats(self, device: object) -> dict[str, int]:  # noqa: ARG002 -- as torch has it
        """Return the counters that fragmentation and hits are made of."""
        return self._counts | {
            "allocated_bytes.all.current": self._allocated, "reserved_bytes.all.current": self._reserved,
            "inactive_split_bytes.all.current": sum(each.size for each in self._free if each.split),
        }  # fmt: skip

    def _grow(self, size: int, *, small: bool) -> Block:
        segment = 2 * MIB if small else 20 * MIB if size < LARGE else -(-size // (2 * MIB)) * 2 * MIB
        if self._reserved + segment > self._limit:
            self._counts["num_alloc_retries"] += 1
            self.empty_cache()
        if self._reserved + segment > self._limit:
            self._counts["num_ooms"] += 1
            raise MemoryError
        self._reserved += segment
        self._counts["num_device_alloc"] += 1
        return Block(segment, small)

    def _merge(self, one: Block, other: Block) -> None:
        for each in (one, other):
            if each in self._free:
                self._free.remove(each)
        one.size, one.after = one.size + other.size, other.after
        if one.after is not None:
            one.after.before = one
