"""The machine and the software that figures were measured with, and the memory of this process."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from ..extras import versions

__all__ = ["environment", "forget_peak", "resident", "slope"]

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


def resident() -> dict[str, int]:
    """Resident memory in bytes, now and at its peak (/proc/self/status)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = {
        key: int(value.split()[0])
        for key, _, value in (line.partition(":") for line in lines)
        if key.startswith("Vm")
    }
    return {"now": 1024 * kilobytes["VmRSS"], "peak": 1024 * kilobytes["VmHWM"]}


def forget_peak() -> None:
    """Let the peak begin at what is resident now (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def slope(calls: Sequence[int], resident_bytes: Sequence[int]) -> float | None:
    """Bytes by which memory grows with each call: the straight line through the second half of the samples.

    The first half is left out: there a runtime still takes what it will keep. None where too few samples are left.
    """
    x, y = (np.asarray(v, np.float64)[len(calls) // 2 :] for v in (calls, resident_bytes))
    if len(x) < 3 or x[-1] == x[0]:
        return None
    return float(np.polyfit(x - x[0], y - y[0], 1)[0])
