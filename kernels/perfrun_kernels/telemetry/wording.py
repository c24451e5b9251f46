"""The sentences that say why a row cannot be judged, or how it is recorded."""

from __future__ import annotations

from collections.abc import Sequence

from perfrun_kernels.prometheus import RawSeries
from perfrun_kernels.telemetry.findings import RowFinding
from perfrun_kernels.telemetry.parameters import Row
from perfrun_kernels.telemetry.window import Window


def absence(row: Row, window: Window, *, anybody: bool) -> tuple[str, str]:
    """Return reason and sentence for a row without any sample; ``anybody``: whether somebody should have some."""
    if row.per == "gpuNode" and not anybody:
        return "NoGPUNode", f"no node has a GPU to give, so that there is no {row.name} to record"
    if row.per == "pod" and not anybody:
        return "NoPod", f"the target's Service has no pod, so that there is no {row.name} to record"
    why = (
        f"Prometheus has no sample of {', '.join(row.series)} in the {window.seconds:g} s that are judged: let it "
        "scrape what exposes them (perfrun telemetry rules prints how), or name the series in the target's "
        "telemetry.metrics"
    )
    return "NoSuchMetric", why


def nobodys(row: Row, series: Sequence[RawSeries], names: Sequence[str]) -> str:
    """Return the sentence for series of which none says whose it is."""
    labels = ", ".join(f"{name}={value}" for name, value in sorted(series[0].labels.items()) if name != "__name__")
    whose = f"none of {', '.join(names[:3])}" if names else f"no {'pod' if row.per == 'pod' else 'node'}"
    return (
        f"{len(series)} series were found and {whose} is named by any of their labels ({labels[:300] or 'none'}): "
        f"state the label in the target's telemetry.metrics for {row.name}"
    )


def summary(found: RowFinding) -> str:
    """Return in a sentence how a row is recorded."""
    pace = "each with a single sample" if found.interval is None else (
        f"every {found.interval:g} s (p99 {found.p99:.4g} s, longest {found.longest:.4g} s)"
    )  # fmt: skip
    whose = "" if found.row.per == "any" else f" of {found.present} of {len(found.expected)} {found.noun}"
    lost = f", {len(found.gaps)} {'gap' if len(found.gaps) == 1 else 'gaps'}" if found.gaps else ""
    return f"{len(found.series)} series{whose}, {pace}; {100 * (found.complete or 0):.4g} % of the samples{lost}"


def too_short(found: RowFinding, seconds: float) -> str:
    """Return the sentence for a history that covers less than the ``seconds`` that are to be judged."""
    return (
        f"the history of {found.selector} goes back {found.oldest or 0:.0f} s, which is less than the {seconds:g} s to "
        "be judged: wait, or let the target's telemetry.window be auto or observed"
    )
