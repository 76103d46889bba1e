"""Folders and patterns on XRootD servers, and the servers of CERN's EOS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from ..errors import FileError
from ..extras import require

__all__ = ["eos_address", "forget_connections", "has_magic", "list_folder", "match"]

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


def has_magic(address: str) -> bool:
    """Whether the path of an address is a pattern; ``?`` begins what the server is told besides the path."""
    return re.search(r"[*[]", urlsplit(address).path) is not None


def _server_and_path(address: str) -> tuple[str, str]:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}", "/" + parts.path.lstrip("/")


def list_folder(address: str, timeout_s: int) -> Iterator[tuple[str, bool]]:
    """What a folder on a server holds.

    Parameters
    ----------
    timeout_s : int
        Of the request.

    Yields
    ------
    str, bool
        The address, and whether it is a folder; sorted.

    Raises
    ------
    FileError
        There is no such folder, it may not be read, or the server does not answer.
    """
    require("fsspec_xrootd", address)
    from XRootD import client
    from XRootD.client.flags import DirListFlags, StatInfoFlags

    server, path = _server_and_path(address)
    status, listing = client.FileSystem(server).dirlist(path, DirListFlags.STAT, timeout_s)
    if not status.ok:
        known = {NOT_FOUND: "no such folder", NO_PERMISSION: "permission denied"}
        why = known.get(status.errno) or " ".join(status.message.split())
        raise FileError(f"{address}: {why}")
    for entry in sorted(listing, key=lambda entry: entry.name):
        is_folder = bool(entry.statinfo and entry.statinfo.flags & StatInfoFlags.IS_DIR)
        yield f"{server}/{path.rstrip('/')}/{entry.name}", is_folder


def match(address: str, timeout_s: int) -> list[str]:
    """Files on a server that match a pattern with ``*``, ``[...]``, and ``**`` for folders of any depth."""
    server, path = _server_and_path(address)
    parts = path.strip("/").split("/")
    fixed = next(i for i, part in enumerate(parts) if has_magic(f"root://x//{part}"))
    start = "/".join(parts[:fixed])
    return sorted(set(_match(f"{server}//{start}" if start else f"{server}//", parts[fixed:], timeout_s)))


def _match(folder: str, parts: list[str], timeout_s: int) -> Iterator[str]:
    first, *rest = parts
    if first == "**":
        if rest:
            yield from _match(folder, rest, timeout_s)
        for address, is_folder in list_folder(folder, timeout_s):
            if is_folder:
                yield from _match(address, parts, timeout_s)
            elif not rest:
                yield address
        return
    for address, is_folder in list_folder(folder, timeout_s):
        if not fnmatchcase(address.rpartition("/")[2], first):
            continue
        if is_folder and rest:
            yield from _match(address, rest, timeout_s)
        elif not is_folder and not rest:
            yield address


def forget_connections(address: str) -> None:
    """Let the next file of an address be opened anew: fsspec-xrootd keeps handles of files, also of a server
    that is gone.
    """
    if address.startswith("root://"):
        require("fsspec_xrootd", address)
        from fsspec_xrootd import XRootDFileSystem

        XRootDFileSystem.clear_instance_cache()
