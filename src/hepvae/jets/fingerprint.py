"""Fingerprints of jets: equal where a network sees the same of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit, types

from ..execution.compiled import compiled
from .padding import AT_ONCE, FlatJets, pad_into
from .spec import InputSpec

__all__ = ["fingerprints"]

Words = npt.NDArray[np.uint32]
Numbers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]


def fingerprints(jets: FlatJets, chosen: Numbers, spec: InputSpec) -> Hashes:
    """Of all that a network is given of some jets: 128 bits, by which two different jets are told apart.

    Parameters
    ----------
    jets : FlatJets
    chosen : int64 array
        Numbers of the jets, which hold no value that is not finite and no negative pt.
    spec : InputSpec

    Returns
    -------
    numpy array, uint64 (chosen, 2)
        Of a model that takes only momenta, of all constituents, also those that are truncated, in their order, and
        of the jet axis where coordinates are relative to it; else of the padded array.
    """
    result = np.empty((len(chosen), 2), np.uint64)
    if spec.momenta_only:
        axis = jets.directions if spec.coordinates == "relative" else ()
        of_jets = np.stack([*axis, np.zeros(len(jets.counts))]).astype(np.float32)
        momenta = np.stack([jets.pt, jets.eta, jets.phi])
        _hash(jets.starts, jets.counts, chosen, momenta.view(np.uint32), of_jets.view(np.uint32), result)
        return result
    size = spec.shape[0] * spec.shape[1]
    for first in range(0, len(chosen), AT_ONCE):
        part = chosen[first : first + AT_ONCE]
        padded = pad_into(jets, part, spec, spec.n_particles).reshape(1, -1)
        number = np.arange(len(part))
        nothing = np.empty((0, len(part)), np.uint32)
        sizes = np.full(len(part), size)
        _hash(number * size, sizes, number, padded.view(np.uint32), nothing, result[first : first + AT_ONCE])
    return result


_NUMBERS = types.Array(types.int64, 1, "C", readonly=True)
_WORDS = types.Array(types.uint32, 2, "C", readonly=True)
_A, _B = np.uint64(0x87C37B91114253D5), np.uint64(0x4CF5AD432745937F)
_C, _D = np.uint64(0x52DCE729), np.uint64(0x38495AB5)
_MIX, _MIX2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_FIVE, _HALF, _WIDTH = np.uint64(5), np.uint64(33), np.uint64(64)


@njit(nogil=True)
def _rotated(value: np.uint64, bits: int) -> np.uint64:
    turned: np.uint64 = (value << np.uint64(bits)) | (value >> (_WIDTH - np.uint64(bits)))
    return turned


@njit(nogil=True)
def _mixed(value: np.uint64) -> np.uint64:
    value = (value ^ (value >> _HALF)) * _MIX
    value = (value ^ (value >> _HALF)) * _MIX2
    value ^= value >> _HALF
    return value


@njit(nogil=True)
def _step(first: np.uint64, second: np.uint64, word: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Take in one word, as MurmurHash3 (x64, 128 bits; Appleby, public domain) does, into both halves."""
    first ^= _rotated(word * _A, 31) * _B
    first = (_rotated(first, 27) + second) * _FIVE + _C
    second ^= _rotated(word * _B, 33) * _A
    second = (_rotated(second, 31) + first) * _FIVE + _D
    return first, second


@compiled(types.void(_NUMBERS, _NUMBERS, _NUMBERS, _WORDS, _WORDS, types.Array(types.uint64, 2, "C")))
def _hash(
    starts: Numbers, counts: Numbers, chosen: Numbers, of_constituents: Words, of_jets: Words, result: Hashes
) -> None:
    for row in range(len(chosen)):
        jet = chosen[row]
        first, second = np.uint64(counts[jet]), np.uint64(0)
        for column in range(len(of_jets)):
            first, second = _step(first, second, np.uint64(of_jets[column, jet]))
        for i in range(starts[jet], starts[jet] + counts[jet]):
            for column in range(len(of_constituents)):
                first, second = _step(first, second, np.uint64(of_constituents[column, i]))
        first, second = _mixed(first + second), _mixed(second)
        result[row, 0], result[row, 1] = first + second, first + second + second
