from __future__ import annotations

import numpy as np
import pytest

import hepvae
from hepvae import OptionError
from hepvae.reading.options import ReadOptions
from hepvae.storage.access import Access


def test_numbers_of_numpy_are_numbers():
    assert ReadOptions(step_size=np.int64(7)).step_size == 7
    assert Access(timeout_s=np.int32(5), attempts=np.int64(2)) == Access(timeout_s=5, attempts=2)
    assert ReadOptions(step_size="1.5 kB").step_bytes == 1500


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step_size": "100"}, "step_size is '100': expected a size like '100 MB' or a number of entries"),
        ({"step_size": 0}, "step_size is 0: expected a whole number of at least 1"),
        ({"step_size": 1.5}, r"step_size is 1\.5: expected a size"),
        ({"step_size": True}, "step_size is True: expected a whole number"),
        ({"schema": "nanoaod"}, "schema 'nanoaod' is unknown: expected one of auto, .*nearest: 'nanoaodv15'"),
        ({"tree": ""}, "tree is '': expected the name of a tree"),
    ],
)
def test_checked_when_built(options, message):
    with pytest.raises(OptionError, match=message):
        ReadOptions(**options)
    # The functions that build them say so at the call, and look for no file before.
    with pytest.raises(OptionError, match=message):
        hepvae.iterate_dijets("nowhere.root", **options)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"entry_stop": "10"}, "entry_stop is '10': expected a whole number of at least 0"),
        ({"entry_start": -1}, "entry_start is -1: expected a whole number of at least 0"),
        ({"entry_start": 2.0}, r"entry_start is 2\.0: expected a whole number"),
        ({"entry_start": 3, "entry_stop": 2}, "entry_stop is 2: expected at least entry_start, 3"),
    ],
)
def test_ranges_of_entries_are_checked_at_the_call(entries, message):
    """`entry_stop="10"` was a TypeError of NumPy, after the first file had been opened."""
    with pytest.raises(OptionError, match=message):
        hepvae.iterate_dijets("nowhere.root", **entries)
