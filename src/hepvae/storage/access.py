"""What a failed read means: the table of faults, and how long to wait before another attempt."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import FileError, TransientError, one_line
from ..extras import require
from ..options import check_number, check_whole_number

__all__ = ["ACCESS", "FAULTS", "Access", "Attempts", "Fault", "classify", "file_error"]


@dataclass(frozen=True)
class Fault:
    """One kind of failure, and what it is known by."""

    says: str
    """For the user; empty: the words of the error itself."""
    words: tuple[str, ...] = ()
    """Any of these in a message; case does not matter."""
    errors: tuple[type[BaseException], ...] = ()
    """Any of these classes."""
    passes: bool = False
    """Whether another attempt may succeed."""


#: The first that fits counts. Numbers in brackets are those of the XRootD protocol: fsspec-xrootd raises a bare
#: OSError with the text of the server or the client for everything, uproot KeyError and classes of its own.
FAULTS = (
    Fault("permission denied", errors=(PermissionError,)),
    Fault(
        "permission denied: are grid proxy and Kerberos ticket there and valid?",
        words=(
            "[3010]",
            "[3030]",
            "auth failed",
            "authentication failed",
            "authorization failed",
            "no protocols left to try",
            "unable to authenticate",
            "permission denied",
            "not authorized",
            "proxy expired",
        ),
    ),
    Fault("no such file", words=("[3011]", "no such file"), errors=(FileNotFoundError,)),
    Fault("can only be read there", words=("marked read/only", "read-only file system", "[3025]")),
    Fault("is a directory, not a file", words=("[3016]", "is a directory"), errors=(IsADirectoryError,)),
    Fault(
        "",
        words=(
            "operation expired",
            "socket timeout",
            "socket error",
            "socket disconnected",
            "connection error",
            "connection refused",
            "connection reset",
            "stream error",
            "stream disconnect",
            "invalid redirect url",
            "redirect limit",
            "invalid session",
            "operation interrupted",
            "operation in progress",
            "operation canceled",
            "timed out",
            "temporarily unavailable",
            "stale file handle",
            "transport endpoint",
            "input/output error",
            "checksum error",
            "[3003]",  # file locked, by a connection that was lost
            "[3004]",  # file not open: the server was started anew
            "[3005]",  # the file system of the server
            "[3007]",  # its input and output
            "[3012]",  # within the server
            "[3014]",  # no server has it now
            "[3024]",  # overloaded
        ),
        errors=(TimeoutError, ConnectionError),
        passes=True,
    ),
)

#: Whatever a broken file makes uproot or a decompressor raise.
BROKEN = Fault("")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def classify(error: BaseException) -> Fault:
    """The fault of `FAULTS` that an error of reading is, or `BROKEN`."""
    for one in _chain(error):
        text = str(one).lower()
        for fault in FAULTS:
            if isinstance(one, fault.errors) or any(word in text for word in fault.words):
                return fault
    return BROKEN


def file_error(where: str, error: BaseException, doing: str = "cannot be read") -> FileError:
    """The error to raise for one of another library: `TransientError` where the fault may pass."""
    fault = classify(error)
    kind = TransientError if fault.passes else FileError
    return kind(f"{where}: {fault.says or f'{doing}: {one_line(error)}'}")


@dataclass(frozen=True)
class Access:
    """How patiently files are read."""

    timeout_s: int = 60
    """Of one network request; XRootD's own default is to wait for ever."""
    attempts: int = 4
    """At a file that cannot be read for a reason that may pass."""
    wait_s: float = 1.0
    """Before the second attempt; twice as long before each further one, a random part of it less."""
    longest_wait_s: float = 60.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "attempts", check_whole_number("attempts", self.attempts))
        timeout_s = check_whole_number("timeout_s", self.timeout_s, highest=86400)
        object.__setattr__(self, "timeout_s", timeout_s)
        for name in ("wait_s", "longest_wait_s"):
            object.__setattr__(self, name, check_number(name, getattr(self, name), lowest=0, unit="s"))

    def wait(self, attempt: int) -> None:
        """Wait after the attempt of this number, from 1."""
        longest = min(self.wait_s * 2 ** (attempt - 1), self.longest_wait_s)
        time.sleep(longest * random.uniform(0.5, 1))  # many workers must not come back all at once


#: Unless told otherwise.
ACCESS = Access()


class Attempts:
    """What is tried again: counts the failures in a row at one address, and waits."""

    def __init__(self, access: Access, address: str):
        self._access, self._address = access, address
        self._failures = 0

    def wait_after(self, error: TransientError) -> None:
        """Wait for the next attempt, or raise the error where there is none left."""
        self._failures += 1
        if self._failures == self._access.attempts:
            if self._failures == 1:
                raise error
            raise TransientError(f"{error} (after {self._failures} attempts)") from error
        if self._address.startswith("root://"):
            # It keeps handles of files, also of a server that has stopped.
            require("fsspec_xrootd", self._address).XRootDFileSystem.clear_instance_cache()
        self._access.wait(self._failures)

    def succeed(self) -> None:
        """Later failures count anew."""
        self._failures = 0
