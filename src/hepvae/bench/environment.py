"""The machine and the software that figures were measured with."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..extras import versions

__all__ = ["environment"]

PACKAGES = (
    "hepvae",
    "tensorflow",
    "keras",
    "tf2onnx",
    "onnxruntime",
    "numpy",
    "awkward",
    "uproot",
    "vector",
)
VARIABLES = ("HEPVAE_NUM_THREADS", "OMP_NUM_THREADS", "TF_ENABLE_ONEDNN_OPTS", "CUDA_VISIBLE_DEVICES")


def environment() -> dict[str, Any]:
    """Processor, cores, memory, versions and the environment variables that matter."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores_usable": len(os.sched_getaffinity(0)),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": versions(PACKAGES),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
