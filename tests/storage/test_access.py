"""What a failed read means."""

from __future__ import annotations

import pytest

import hepvae
from hepvae.errors import FileError, TransientError
from hepvae.storage.access import FAULTS, Access, classify, file_error

#: As users met them, and the real servers of the tests gave them.
PASS = (
    OSError("File did not open properly: [ERROR] Operation expired"),
    OSError("File did not vector_read properly: [ERROR] Operation expired"),
    OSError("File did not open properly: [ERROR] Invalid redirect URL"),
    OSError("File did not open properly: [ERROR] Socket timeout"),
    OSError("File did not open properly: [FATAL] Connection error"),
    OSError("File did not read properly: [FATAL] Redirect limit has been reached"),
    OSError("File did not read properly: [ERROR] Server responded with an error: [3004] file is not open"),
    OSError("[ERROR] Server responded with an error: [3012] Internal server error"),
    TimeoutError("read took too long"),
    ConnectionResetError("Connection reset by peer"),
    OSError(5, "Input/output error"),
    OSError(116, "Stale file handle"),
)
STAY = (
    OSError("File did not open properly: [ERROR] Server responded with an error: [3010] Unable to open /a.root"),
    OSError("File did not open properly: [FATAL] Auth failed: No protocols left to try"),
    OSError("[ERROR] Server responded with an error: [3011] No such file or directory"),
    PermissionError(13, "Permission denied"),
    FileNotFoundError(2, "No such file or directory"),
    KeyError("Events"),
    ValueError("basket 3 in tree has the wrong number of entries"),
    EOFError(),
)


@pytest.mark.parametrize("error", PASS, ids=str)
def test_faults_that_pass(error):
    assert classify(error).passes
    assert isinstance(file_error("a.root", error), TransientError)


@pytest.mark.parametrize("error", STAY, ids=repr)
def test_faults_that_stay(error):
    assert not classify(error).passes
    assert type(file_error("a.root", error)) is FileError


def test_permission_is_no_missing_file_and_says_what_to_look_at():
    said = str(file_error("root://eos//a.root", STAY[1]))
    assert said == "root://eos//a.root: permission denied: are grid proxy and Kerberos ticket there and valid?"
    assert str(file_error("a.root", STAY[3])) == "a.root: permission denied"
    assert str(file_error("a.root", STAY[4])) == "a.root: no such file"


def test_what_an_error_came_from_counts():
    try:
        try:
            raise PASS[0]
        except OSError as cause:
            raise RuntimeError("cannot read basket") from cause
    except RuntimeError as error:
        assert classify(error).passes


def test_every_fault_is_known_by_something():
    assert all(fault.words or fault.errors for fault in FAULTS)
    words = [word for fault in FAULTS for word in fault.words]
    assert len(words) == len(set(words))
    assert words == [word.lower() for word in words]


def test_waits_grow_to_a_cap_and_are_not_all_alike(monkeypatch):
    waits = []
    monkeypatch.setattr("hepvae.storage.access.time.sleep", waits.append)
    access = Access(wait_s=1, longest_wait_s=8)
    for attempt in range(1, 7):
        access.wait(attempt)
    for waited, longest in zip(waits, (1, 2, 4, 8, 8, 8)):
        assert longest / 2 <= waited <= longest
    assert len(set(waits)) == 6


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"attempts": 1.5}, {"timeout_s": 0}, {"timeout_s": 0.5}])
def test_values_that_are_none(wrong):
    with pytest.raises(hepvae.OptionError, match=next(iter(wrong))):
        Access(**wrong)
