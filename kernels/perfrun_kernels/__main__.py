"""``python -m perfrun_kernels``: what a benchmark pod's container starts.

The pod may have no home, no name for its user and a read-only root. Libraries that keep caches are therefore sent to
the temporary directory, and kept from looking for a network, before any of them is imported.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from perfrun_kernels import runner


def prepare(environ: os._Environ[str]) -> None:
    """Set what the libraries need to run without a home and offline; what is set already stays.

    OpenMP threads that spin while they wait starve one another as soon as the pod has less than one CPU for each,
    through its limit or its neighbours: a step then takes ten times as long and more. Waiting passively costs little.
    """
    try:
        scratch = Path(tempfile.gettempdir()) / "perfrun"
    except FileNotFoundError:
        scratch = Path("/nonexistent")
    for name, folder in (("HF_HOME", "hf"), ("TRITON_CACHE_DIR", "triton"), ("TORCHINDUCTOR_CACHE_DIR", "inductor")):
        environ.setdefault(name, str(scratch / folder))
    environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for name in ("TRANSFORMERS_OFFLINE", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        environ.setdefault(name, "1")


if __name__ == "__main__":
    prepare(os.environ)
    sys.exit(runner.main(os.environ))
