"""Folders, patterns and files on XRootD servers, and the servers of CERN's EOS."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import FileError, TransientError
from ..extras import require
from .access import Access, Attempts, file_error

__all__ = [
    "address_parts",
    "checksum",
    "content",
    "eos_address",
    "files_below",
    "files_in",
    "has_magic",
    "is_folder",
    "match",
    "remove",
    "size_of",
    "upload",
]

#: The server of each part of EOS, for machines on which it is not mounted.
EOS_SERVERS = {
    "/eos/cms": "eoscms.cern.ch",
    "/eos/atlas": "eosatlas.cern.ch",
    "/eos/lhcb": "eoslhcb.cern.ch",
    "/eos/alice": "eosalice.cern.ch",
    "/eos/user": "eosuser.cern.ch",
    "/eos/project": "eosproject.cern.ch",
    "/eos/experiment": "eospublic.cern.ch",
    "/eos/opendata": "eospublic.cern.ch",
    "/eos/uscms": "cmseos.fnal.gov",
}

# kXR_NotFound, kXR_NotAuthorized, kXR_ItExists of the XRootD protocol
NOT_FOUND, NO_PERMISSION, EXISTS = 3011, 3010, 3018
#: What an address cannot have in a path: ``?`` begins its options, ``#`` ends it.
NOT_IN_AN_ADDRESS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029?#]")
#: Written at once: one request, which has the time-out of a request.
BLOCK_BYTES = 1 << 22


class _MissingError(FileError):
    """There is no such file or folder."""


def eos_address(path: str) -> str | None:
    """The ``root://`` address of a path of EOS; None where it is none that we know."""
    for folder, server in EOS_SERVERS.items():
        if path == folder or path.startswith(f"{folder}/"):
            return f"root://{server}/{path}"
    return None


def address_parts(address: str) -> tuple[str, str, str]:
    """Server, absolute path and query (``?authz=...``, or empty) of an address."""
    scheme, _, rest = address.partition("://")
    host, _, path = rest.partition("/")
    path, mark, query = path.partition("?")
    return f"{scheme}://{host}", "/" + path.lstrip("/"), mark + query


def has_magic(address: str) -> bool:
    """Whether the path of an address is a pattern; ``?`` begins what the server is told besides the path."""
    return _is_pattern(address_parts(address)[1])


def _is_pattern(path: str) -> bool:
    return re.search(r"[*[]", path) is not None


def _client(address: str) -> Any:
    """XRootD's, whose module has no types."""
    require("fsspec_xrootd", address)
    return import_module("XRootD.client")


def _answer(
    address: str, access: Access, request: Callable[[Any, str], tuple[Any, Any]], doing: str = "cannot be read"
) -> Any:
    """The answer of a server about a path; faults that may pass are tried again.

    Raises
    ------
    FileError
        There is no such folder (`_MissingError`), it may not be used, or the server does not answer: then
        `TransientError`.
    """
    client = _client(address)
    server, path, query = address_parts(address)
    attempts = Attempts(access, address)
    while True:
        try:
            status, answer = request(client.FileSystem(server), path + query)
        except TransientError as transient:
            attempts.wait_after(transient)
            continue
        if status.ok:
            return answer
        if status.errno == NOT_FOUND:
            raise _MissingError(f"{address}: no such file or folder")
        if status.errno == NO_PERMISSION:
            raise FileError(f"{address}: permission denied")
        error = file_error(address, OSError(" ".join(status.message.split())), doing)
        if not isinstance(error, TransientError):
            raise error
        attempts.wait_after(error)


def is_folder(address: str, access: Access) -> bool:
    """Whether a path on a server is a folder, and no file; errors as `_answer`."""
    from XRootD.client.flags import StatInfoFlags

    status = _answer(address, access, lambda server, path: server.stat(path, access.timeout_s))
    return bool(status.flags & StatInfoFlags.IS_DIR)


def size_of(address: str, access: Access) -> int:
    """Bytes of a file on a server; errors as `_answer`."""
    return int(_answer(address, access, lambda server, path: server.stat(path, access.timeout_s)).size)


def _list_folder(address: str, access: Access) -> Iterator[tuple[str, bool]]:
    """What a folder on a server holds: the address of each, and whether it is a folder; sorted."""
    from XRootD.client.flags import DirListFlags, StatInfoFlags

    listing = _answer(
        address, access, lambda server, path: server.dirlist(path, DirListFlags.STAT, access.timeout_s)
    )
    server, path, query = address_parts(address)
    for entry in sorted(listing, key=lambda entry: str(entry.name)):
        within = bool(entry.statinfo and entry.statinfo.flags & StatInfoFlags.IS_DIR)
        yield f"{server}/{path.rstrip('/')}/{entry.name}{query}", within


def match(address: str, access: Access) -> list[str]:
    """Files on a server that match a pattern with ``*``, ``[...]``, and ``**`` for folders of any depth.

    A query of the address, as a token, is that of each.
    """
    require("fsspec_xrootd", address)
    server, path, query = address_parts(address)
    parts = path.strip("/").split("/")
    fixed = next((i for i, part in enumerate(parts) if _is_pattern(part)), len(parts))
    return sorted(set(_match(f"{server}//{'/'.join(parts[:fixed])}{query}", parts[fixed:], access)))


def _match(folder: str, parts: list[str], access: Access) -> Iterator[str]:
    first, *rest = parts
    if first == "**" and rest:
        yield from _match(folder, rest, access)
    for address, within in _list_folder(folder, access):
        if first == "**":
            if within:
                yield from _match(address, parts, access)
            elif not rest:
                yield address
        elif fnmatchcase(address_parts(address)[1].rpartition("/")[2], first):
            if within and rest:
                yield from _match(address, rest, access)
            elif not within and not rest:
                yield address


def files_below(address: str, access: Access) -> list[str]:
    """Files in a folder on a server and in its folders, by their names in it, sorted; none where there is none."""
    server, path, query = address_parts(address)
    folder = f"{server}/{path.rstrip('/')}"
    try:
        found = match(f"{folder}/**{query}", access)
    except _MissingError:
        return []
    return sorted(address_parts(one)[1][len(path.rstrip("/")) + 1 :] for one in found)


def files_in(address: str, access: Access) -> list[str]:
    """Files directly in a folder on a server, by their names, sorted; none where there is no such folder."""
    try:
        found = [one for one, within in _list_folder(address, access) if not within]
    except _MissingError:
        return []
    return [address_parts(one)[1].rpartition("/")[2] for one in found]


def content(address: str, access: Access) -> bytes | None:
    """Of a file on a server, which is short; None where there is none."""

    def request(server: Any, path: str) -> tuple[Any, Any]:
        with _client(address).File() as file:
            status, _ = file.open(address, timeout=access.timeout_s)
            return file.read(timeout=access.timeout_s) if status.ok else (status, None)

    try:
        return bytes(_answer(address, access, request))
    except _MissingError:
        return None


def checksum(address: str, access: Access) -> tuple[int, str] | None:
    """Size in bytes and Adler-32 (eight hexadecimal digits) of a file as its server has it; None without one."""
    try:
        return size_of(address, access), _adler32(address, access)
    except _MissingError:
        return None


def _adler32(address: str, access: Access) -> str:
    from XRootD.client.flags import QueryCode

    def request(server: Any, path: str) -> tuple[Any, Any]:
        return server.query(QueryCode.CHECKSUM, path, access.timeout_s)  # type: ignore[no-any-return]

    kind, _, value = bytes(_answer(address, access, request)).rstrip(b"\0 ").decode().partition(" ")
    if kind != "adler32" or not re.fullmatch("[0-9a-f]{8}", value):
        raise FileError(f"{address}: the server gives no adler32 checksum of it, but {kind!r} {value!r}")
    return value


def remove(address: str, access: Access) -> None:
    """Remove a file on a server, if it is there."""
    with suppress(_MissingError):
        _answer(address, access, lambda server, path: server.rm(path, access.timeout_s), "cannot be removed")


def upload(path: Path, address: str, temporary: Callable[[], str], access: Access) -> None:
    """Copy a file to a server, where it appears whole or not at all.

    It is written under another name, its Adler-32 is compared with that which the server computes of what it has,
    and it gets its name. Faults that may pass are met by beginning again.

    Parameters
    ----------
    path : path
        The file, on this machine.
    address : str
        Of the file on the server, which is replaced; folders are made.
    temporary : callable
        Gives another address of the same folder for each attempt, since a server may take the file of a lost
        connection for open. What is there in the end is removed, where the server can be reached.
    access : Access
        Time-out of each request, and attempts.

    Raises
    ------
    FileError
        It cannot be written, or the server has or says another checksum each time: then `TransientError`.
    """

    def request(server: Any, _: str) -> tuple[Any, Any]:
        copies.append(temporary())
        status, ours = _write(path, copies[-1], access.timeout_s)
        if not status.ok:
            return status, None
        theirs = _adler32(copies[-1], once)
        if theirs != ours:
            raise TransientError(f"{address}: checksum error: {theirs} on the server, {ours} here")
        here, there = ("".join(address_parts(one)[1:]) for one in (copies[-1], address))
        status, _ = server.mv(here, there, access.timeout_s)
        if status.errno == EXISTS:  # of EOS; other servers replace it
            server.rm(there, access.timeout_s)
            status, _ = server.mv(here, there, access.timeout_s)
        if status.ok:
            copies.pop()
        return status, None

    copies: list[str] = []
    once = replace(access, attempts=1)
    try:
        _answer(address, access, request, "cannot be written")
    finally:
        with suppress(FileError):
            for copy in copies:
                remove(copy, once)


def _write(path: Path, address: str, timeout_s: int) -> tuple[Any, str]:
    """Write a file anew; gives the status, and the Adler-32 of what was sent."""
    from XRootD.client.flags import OpenFlags

    value = 1
    with _client(address).File() as remote, open(path, "rb") as local:
        remote.set_property("WriteRecovery", "false")  # another attempt begins anew
        status, _ = remote.open(address, OpenFlags.DELETE | OpenFlags.MAKEPATH, timeout=timeout_s)
        sent = 0
        while status.ok and (block := local.read(BLOCK_BYTES)):
            value = zlib.adler32(block, value)
            status, _ = remote.write(block, sent, timeout=timeout_s)
            sent += len(block)
        if status.ok:
            status, _ = remote.close(timeout_s)
    return status, f"{value:08x}"
