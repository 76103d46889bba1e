"""Folders and patterns on XRootD servers, and the servers of CERN's EOS."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Any

from ..errors import FileError, TransientError
from ..extras import require
from .access import Access, Attempts, file_error

__all__ = ["address_parts", "eos_address", "has_magic", "is_folder", "match"]

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

NOT_FOUND, NO_PERMISSION = 3011, 3010  # kXR_NotFound, kXR_NotAuthorized of the XRootD protocol


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


def _answer(address: str, access: Access, request: Callable[[Any, str], tuple[Any, Any]]) -> Any:
    """The answer of a server about a path; faults that may pass are tried again.

    Raises
    ------
    FileError
        There is no such folder, it may not be read, or the server does not answer: then `TransientError`.
    """
    require("fsspec_xrootd", address)
    client: Any = import_module("XRootD.client")

    server, path, query = address_parts(address)
    attempts = Attempts(access, address)
    while True:
        status, answer = request(client.FileSystem(server), path + query)
        if status.ok:
            return answer
        known = {NOT_FOUND: "no such file or folder", NO_PERMISSION: "permission denied"}
        if status.errno in known:
            raise FileError(f"{address}: {known[status.errno]}")
        error = file_error(address, OSError(" ".join(status.message.split())))
        if not isinstance(error, TransientError):
            raise error
        attempts.wait_after(error)


def is_folder(address: str, access: Access) -> bool:
    """Whether a path on a server is a folder, and no file; errors as `_answer`."""
    from XRootD.client.flags import StatInfoFlags

    status = _answer(address, access, lambda server, path: server.stat(path, access.timeout_s))
    return bool(status.flags & StatInfoFlags.IS_DIR)


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
