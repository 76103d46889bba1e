"""Formulas of momenta, for arrays of any kind: NumPy's or ragged ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["mass", "pseudorapidity", "wrapped"]

TURN = 2 * math.pi


def pseudorapidity(px: Any, py: Any, pz: Any) -> Any:
    """eta of momenta; infinite, or NaN, for those without transverse momentum."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.arcsinh(pz / np.hypot(px, py))


def mass(pt: Any, eta: Any, energy: Any) -> Any:
    """Mass; 0 where rounding leaves less energy than momentum."""
    # In float64: a small mass is a small difference of large numbers.
    momentum, energy = np.float64(1) * pt * np.cosh(eta), np.float64(1) * energy
    return np.sqrt(np.maximum((energy - momentum) * (energy + momentum), 0))


def wrapped(angle: Any) -> Any:
    """Angles, or differences of them, brought to [-pi, pi]."""
    return angle - TURN * np.rint(angle / TURN)
