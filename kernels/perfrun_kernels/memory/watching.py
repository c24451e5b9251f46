"""Who watches a pipeline's memory, and what a result is made of at any quiet moment: at the end, or on the way."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs

from perfrun_kernels.contract import Scalar
from perfrun_kernels.memory.readings import Rows, resident, settle
from perfrun_kernels.program import Measurement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from perfrun_kernels.gpu.watching import Watch
    from perfrun_kernels.memory.allocators import Allocator
    from perfrun_kernels.memory.pipeline import Engine
    from perfrun_kernels.memory.workload import Prompts
    from perfrun_kernels.program import Fact, Task

MOST_ROWS = 50_000


@attrs.define
class Watching:
    """Looks at this process and at its device, and keeps what it sees."""

    engine: Engine
    prompts: Prompts
    allocator: Allocator
    gpu: Watch
    task: Task
    facts: Mapping[str, Fact]
    most_rows: int
    started: float = attrs.field(factory=time.time)
    rows: Rows = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Take the memory for what will be seen."""
        self.rows = Rows(("at", "rss", *self.allocator.columns), min(self.most_rows, MOST_ROWS))

    def busy(self) -> None:
        """Look at the device's allocator."""
        self.allocator.look(quiet=False)

    def quiet(self, at: float) -> None:
        """Settle, then keep a row."""
        settle()
        self.allocator.settle()
        self.allocator.look(quiet=True)
        held = self.allocator.held()
        if held is not None:
            self.rows.add((at, resident(), *held))

    def keep(self) -> None:
        """Hand in a checkpoint."""
        self.task.checkpoint(self.measurement())
        self.task.progress(f"watched for {time.time() - self.started:.0f} s, {self.rows.count} looks")

    def measurement(self) -> Measurement:
        """Return what has been seen so far."""
        return Measurement(
            started=self.started, finished=time.time(), series={}, tables={"memory": self.rows.table()},
            scalars={
                "pool.fragmentation": Scalar("1", self.engine.waste),
                "prefix.queries": Scalar("tokens", float(self.engine.queries)),
                "prefix.hits": Scalar("tokens", float(self.engine.hits)),
                "prefix.ideal": Scalar("tokens", float(self.prompts.ideal())),
                **self.allocator.scalars(), **self.gpu.scalars(),
            },
            facts={**self.facts, **self.gpu.facts(), "served": self.prompts.made, "looks": self.rows.count},
        )  # fmt: skip
