"""Downloads that are whole or not there: mirrors, retries, time-outs, and a SHA-256 of the uncompressed bytes. Light zone."""

import contextlib
import gzip
import hashlib
import http.client
import time
import urllib.request
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imgcls import files, terminal
from imgcls.errors import DataError

_PIECE = 1 << 16


@dataclass(frozen=True)
class RemoteFile:
    """A gzip file on one or more mirrors, with the SHA-256 of its *uncompressed* bytes.

    Gzip files of the same content differ in their headers and level, so that a hash of the compressed bytes would refuse good mirrors.
    """

    name: str
    sha256: str
    mirrors: tuple[str, ...]


@dataclass(frozen=True)
class Patience:
    """How long to try: rounds over all mirrors, seconds without a byte before giving up on one, first pause between rounds (doubled)."""

    rounds: int = 4
    timeout: float = 20.0
    pause: float = 1.0


class _RejectedError(Exception):
    """What arrived is not the file; the message says why."""


def fetch(remote: RemoteFile, folder: Path, patience: Patience = Patience()) -> Path:
    """Return the file in a folder, downloading it unless it is there and whole. Nothing half or wrong ever has its name.

    Raises:
        DataError: no mirror gave the file; the message lists what each of them did last.
        UserError: the folder cannot be written, or the disk is full.
    """
    path = folder / remote.name
    with files.locked(folder / ".lock"):
        if path.is_file() and _is_whole(path, remote.sha256):
            return path
        problems: dict[str, str] = {}
        for attempt in range(patience.rounds):
            if attempt:
                time.sleep(patience.pause * 2 ** (attempt - 1))
            for mirror in remote.mirrors:
                try:
                    _download(mirror + remote.name, path, remote.sha256, patience.timeout)
                except (OSError, http.client.HTTPException, zlib.error, _RejectedError) as error:
                    problems[mirror] = str(error) or type(error).__name__
                else:
                    return path
    tried = "\n".join(f"  {mirror}{remote.name}: {problem}" for mirror, problem in problems.items())
    raise DataError(
        f"cannot download {remote.name}, after {patience.rounds} tries of each mirror:\n{tried}\n"
        f"check the network connection and run the same command again; or get the files in another way and name their folder as data.path"
    )


def _is_whole(path: Path, sha256: str) -> bool:
    try:
        with gzip.open(path) as stream:
            whole = hashlib.file_digest(stream, "sha256").hexdigest() == sha256
    except (OSError, EOFError, zlib.error):
        whole = False
    if not whole:
        terminal.note(f"{path} is damaged; downloading it again")
    return whole


def _download(url: str, path: Path, sha256: str, timeout: float) -> None:
    """Download a file to a temporary name, checking it as it arrives, and rename it once it is known to be right."""
    request = urllib.request.Request(url, headers={"User-Agent": "imgcls"})
    digest, unzip = hashlib.sha256(), zlib.decompressobj(wbits=31)  # 31: gzip, with its own checksum
    with contextlib.closing(urllib.request.urlopen(request, timeout=timeout)) as response, files.replacing(path) as stream:
        length = int(response.headers["Content-Length"] or 0)
        terminal.note(f"downloading {url}" + (f" ({length / 1e6:.1f} MB)" if length else ""))
        received = 0
        for piece in terminal.track(_pieces(response), -(-length // _PIECE), path.name):
            stream.write(piece)
            digest.update(unzip.decompress(piece))
            received += len(piece)
        if received < length:
            raise _RejectedError(f"the connection ended after {received:,} of {length:,} bytes")
        if not unzip.eof:
            raise _RejectedError(f"the gzip data ends too early, after {received:,} bytes")
        if digest.hexdigest() != sha256:
            raise _RejectedError(
                f"it holds other bytes: the SHA-256 of the uncompressed content is {digest.hexdigest()}, expected {sha256}"
            )


def _pieces(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while piece := response.read(_PIECE):
        yield piece
