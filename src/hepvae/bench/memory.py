"""Resident memory of this process, as Linux counts it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

__all__ = ["forget_peak", "resident", "slope"]


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
