"""Features of constituents that are more than eta, phi and pt, compiled: the loops of `padding` for those."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, types

from ..execution.compiled import compiled
from .padding_kernels import _NUMBERS, _VALUES, PER_TURN, TURN, Floats, Numbers, _places, _room

__all__ = ["CODES", "FIRST_COLUMN", "pad_features"]

#: Features that the loop computes, by their numbers; from `FIRST_COLUMN` on the number is that of a column.
_COMPILED = (
    *("eta", "phi", "pt", "deta", "dphi", "delta_r", "log_pt", "pt_fraction", "log_pt_fraction"),
    *("px", "py", "pz", "energy", "log_energy", "energy_fraction", "log_energy_fraction"),
)
CODES = {name: code for code, name in enumerate(_COMPILED)}
ETA, PHI, PT, DETA, DPHI, DELTA_R, LOG_PT, PT_FRACTION, LOG_PT_FRACTION = range(9)
PX, PY, PZ, ENERGY, LOG_ENERGY, ENERGY_FRACTION, LOG_ENERGY_FRACTION = range(9, 16)
FIRST_COLUMN = len(CODES)

_SMALLEST, _HALF_ROOT = np.float32(1.17549435e-38), np.float32(0.707106781186547524)
_LN2_HIGH, _LN2_LOW, _LOG2_E = np.float32(0.693359375), np.float32(-2.12194440e-4), np.float32(1.44269504088896341)
#: Cephes (S. L. Moshier), logf and expf: to 1 and 2 units of the last digit of float32, and eight at a time.
_LOG = np.array(
    [7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1]
    + [-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1],
    np.float32,
)
_EXP = np.array(
    [1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1],
    np.float32,
)
L0, L1, L2, L3, L4, L5, L6, L7, L8 = (np.float32(c) for c in _LOG)
E0, E1, E2, E3, E4, E5 = (np.float32(c) for c in _EXP)
ONE, HALF = np.float32(1), np.float32(0.5)

Bits = npt.NDArray[np.int32]


@njit(nogil=True)
def _log(count: int, x: Floats, out: Floats, work: Floats, bits: Bits) -> None:
    """Natural logarithms of numbers above zero; ``bits`` is ``work`` as int32."""
    for i in range(count):
        work[i] = max(x[i], _SMALLEST)
    for i in range(count):
        out[i] = np.float32((bits[i] >> np.int32(23)) - np.int32(126))
        bits[i] = (bits[i] & np.int32(0x007FFFFF)) | np.int32(0x3F000000)
    for i in range(count):
        m, power = work[i], out[i]
        below = m < _HALF_ROOT
        power = power - ONE if below else power
        m = m + m - ONE if below else m - ONE
        z = m * m
        y = (((((((L0 * m + L1) * m + L2) * m + L3) * m + L4) * m + L5) * m + L6) * m + L7) * m + L8
        y = y * m * z + _LN2_LOW * power - HALF * z
        out[i] = m + y + _LN2_HIGH * power + (x[i] - x[i])  # NaN of what is not finite


@njit(nogil=True)
def _exp(count: int, x: Floats, out: Floats, work: Floats, bits: Bits) -> None:
    """Exponentials of numbers from -80 to 80, which what is beyond is taken for."""
    for i in range(count):
        value = min(max(x[i], np.float32(-80)), np.float32(80))
        power = np.rint(value * _LOG2_E)
        value = value - power * _LN2_HIGH - power * _LN2_LOW
        y = ((((E0 * value + E1) * value + E2) * value + E3) * value + E4) * value + E5
        out[i] = y * value * value + value + ONE
        work[i] = power
    for i in range(count):
        bits[i] = (np.int32(work[i]) + np.int32(127)) << np.int32(23)
    for i in range(count):
        out[i] *= work[i]


@njit(nogil=True, error_model="numpy")
def _energy(count: int, pt: Floats, mass: Floats, exp_eta: Floats, out: Floats) -> None:
    """sqrt((pt cosh(eta))^2 + mass^2)."""
    for i in range(count):
        momentum = pt[i] * HALF * (exp_eta[i] + ONE / exp_eta[i])
        out[i] = np.sqrt(momentum * momentum + mass[i] * mass[i])


@njit(nogil=True, error_model="numpy")
def _inverse(value: Any) -> Any:
    return ONE / value


_COLUMNS = types.Array(types.float32, 2, "C", readonly=True)


@compiled(
    types.void(
        _NUMBERS, _NUMBERS, _NUMBERS, *[_VALUES] * 8, _COLUMNS, _NUMBERS, types.boolean, types.float32[:, :, ::1]
    )
)
def pad_features(
    starts: Numbers,
    counts: Numbers,
    chosen: Numbers,
    pt: Floats,
    eta: Floats,
    phi: Floats,
    mass: Floats,
    axis_eta: Floats,
    axis_phi: Floats,
    jet_pt: Floats,
    jet_energy: Floats,
    columns: Floats,
    codes: Numbers,
    relative: bool,
    padded: Floats,
) -> None:
    """Pad the chosen jets: features by number of the hardest constituents with pt, by falling pt, and zeros.

    ``mass``, ``jet_pt`` and ``jet_energy`` are empty where no feature needs them, ``columns`` (columns,
    constituents) holds those of the features from `FIRST_COLUMN` on. ``padded`` may have more features than
    ``codes``: they are left as they are.
    """
    length = padded.shape[1]
    values, place, alike = _room(counts, chosen)
    room = max(len(values), 1)
    source = np.empty(room, np.int64)
    work, value = np.empty(room, np.float32), np.empty(room, np.float32)
    bits = work.view(np.int32)
    used_pt, used_eta = np.empty(room, np.float32), np.empty(room, np.float32)
    used_phi, used_mass = np.empty(room, np.float32), np.empty(room, np.float32)
    log_pt, energy, log_energy = (
        np.empty(room, np.float32),
        np.empty(room, np.float32),
        np.empty(room, np.float32),
    )
    need_log_pt = need_energy = need_log_energy = False
    for code in codes:
        need_log_pt = need_log_pt or code in (LOG_PT, LOG_PT_FRACTION)
        need_log_energy = need_log_energy or code in (LOG_ENERGY, LOG_ENERGY_FRACTION)
        need_energy = need_energy or code in (ENERGY, ENERGY_FRACTION)
    need_energy = need_energy or need_log_energy
    for row in range(len(chosen)):
        jet = chosen[row]
        start, count = starts[jet], counts[jet]
        rises = np.int32(0)
        for i in range(1, count):
            rises += np.int32(pt[start + i] > pt[start + i - 1])
        if rises:
            _places(pt[start : start + count], values, place, alike)
            for i in range(count):
                source[place[i]] = start + i
        else:
            for i in range(count):
                source[i] = start + i
        used = min(count, length)
        while used and not pt[source[used - 1]] > 0:  # without pt: no more than padding
            used -= 1
        for i in range(used):
            k = source[i]
            used_pt[i], used_eta[i], used_phi[i] = pt[k], eta[k], phi[k]
        if need_log_pt:
            _log(used, used_pt, log_pt, work, bits)
        if need_energy:
            for i in range(used):
                used_mass[i] = mass[source[i]]
            _exp(used, used_eta, value, work, bits)
            _energy(used, used_pt, used_mass, value, energy)
        if need_log_energy:
            _log(used, energy, log_energy, work, bits)
        for f in range(len(codes)):
            code = codes[f]
            if code == DETA or (code == ETA and relative):
                axis = axis_eta[jet]
                for i in range(used):
                    padded[row, i, f] = used_eta[i] - axis
            elif code == DPHI or (code == PHI and relative):
                axis = axis_phi[jet]
                for i in range(used):
                    angle = used_phi[i] - axis
                    padded[row, i, f] = angle - TURN * np.rint(angle * PER_TURN)
            elif code == DELTA_R:
                eta_0, phi_0 = axis_eta[jet], axis_phi[jet]
                for i in range(used):
                    angle, other = used_phi[i] - phi_0, used_eta[i] - eta_0
                    angle = angle - TURN * np.rint(angle * PER_TURN)
                    padded[row, i, f] = np.sqrt(angle * angle + other * other)
            elif code == PX:
                for i in range(used):
                    padded[row, i, f] = used_pt[i] * np.cos(used_phi[i])
            elif code == PY:
                for i in range(used):
                    padded[row, i, f] = used_pt[i] * np.sin(used_phi[i])
            elif code == PZ:
                for i in range(used):
                    padded[row, i, f] = used_pt[i] * np.sinh(used_eta[i])
            elif code in (PT_FRACTION, ENERGY_FRACTION):
                part, jet_value = (used_pt, jet_pt[jet]) if code == PT_FRACTION else (energy, jet_energy[jet])
                whole = _inverse(jet_value)
                for i in range(used):
                    padded[row, i, f] = part[i] * whole
            elif code in (LOG_PT_FRACTION, LOG_ENERGY_FRACTION):
                of_pt = code == LOG_PT_FRACTION
                part, log_whole = (log_pt, np.log(jet_pt[jet])) if of_pt else (log_energy, np.log(jet_energy[jet]))
                for i in range(used):
                    padded[row, i, f] = part[i] - log_whole
            elif code < FIRST_COLUMN:
                part = log_energy if code == LOG_ENERGY else energy if code == ENERGY else log_pt
                part = used_pt if code == PT else used_eta if code == ETA else used_phi if code == PHI else part
                for i in range(used):
                    padded[row, i, f] = part[i]
            else:
                for i in range(used):
                    padded[row, i, f] = columns[code - FIRST_COLUMN, source[i]]
        for i in range(used, length):
            for f in range(len(codes)):
                padded[row, i, f] = 0
