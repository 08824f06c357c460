"""Downloads that are whole or not there: resumed where they were interrupted, mirrors, retries,
time-outs, SHA-256. Light zone.

What has arrived lies in `.NAME.part` beside the file's place, and its address in `.NAME.part.json`:
a process that is killed leaves both, and the next one asks for the rest alone (RFC 9110, section
14). Nothing has the file's name that its SHA-256 did not prove.

Not pooch (1.9): it starts again from the first byte, knows no mirrors, no limit of size, no server
that trickles and no hash of what gzip data expands to, so what is here would have to stay.
"""

import contextlib
import hashlib
import http
import http.client
import re
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imgcls.errors import DataError
from imgcls.io import files, terminal
from imgcls.io.partial import PartialFile

_CHUNK = 1 << 16


@dataclass(frozen=True)
class RemoteFile:
    """A file on one or more mirrors.

    Attributes:
        name: what the file is called, here and behind each mirror's address.
        sha256: of the file's bytes, or of what its gzip data expands to, as `digest_of` says.
        mirrors: addresses that end with a slash.
        most: bytes that the file has at most; a server that sends more is cut off.
        digest_of: content, where mirrors hold the same bytes packed by other hands: gzip data of
            one content differs in header and level.
    """

    name: str
    sha256: str
    mirrors: tuple[str, ...]
    most: int
    digest_of: Literal["file", "content"] = "file"


@dataclass(frozen=True)
class RetryPolicy:
    """How long to try: rounds over all mirrors, the first pause between two rounds (doubled each
    time), and when one mirror has stalled: after `timeout` seconds without a byte, or with fewer
    than `least` bytes."""

    rounds: int = 4
    pause: float = 1.0
    timeout: float = 20.0
    least: int = 10_000


class _MismatchError(Exception):
    """What arrived is not the file; the message says why."""


class _IncompleteError(Exception):
    """Less than the file arrived; the message says how much."""


class _Digest:
    """The SHA-256 of a file as its bytes arrive."""

    def __init__(self, remote: RemoteFile):
        self._expected = remote.sha256
        self._sha256 = hashlib.sha256()
        self._gzip = (
            zlib.decompressobj(wbits=31) if remote.digest_of == "content" else None
        )  # 31: gzip, with its own checksum

    def update(self, piece: bytes) -> None:
        """Take the next bytes.

        Raises:
            _MismatchError: they cannot be the file's.
        """
        if self._gzip is None:
            self._sha256.update(piece)
            return
        try:
            self._sha256.update(self._gzip.decompress(piece))
        except zlib.error as error:
            raise _MismatchError(f"it is not a gzip file, or damaged: {error}") from None
        if self._gzip.unused_data:
            raise _MismatchError("other bytes follow the end of the gzip data")

    @property
    def complete(self) -> bool:
        """Whether nothing in the bytes so far says that more must follow."""
        return self._gzip is None or self._gzip.eof

    @property
    def matches(self) -> bool:
        """Whether the bytes so far are the file."""
        return self.complete and self._sha256.hexdigest() == self._expected

    def describe_mismatch(self) -> str:
        """Return what is wrong with bytes that are not the file."""
        if not self.complete:
            return "the gzip data ends too early"
        subject = "uncompressed content" if self._gzip else "file"
        return (
            f"it holds other bytes: the SHA-256 of the {subject} is {self._sha256.hexdigest()},"
            f" expected {self._expected}"
        )


def fetch(
    remote: RemoteFile, folder: Path, offline: bool = False, patience: RetryPolicy = RetryPolicy()
) -> Path:
    """Return a file in a folder, downloading it unless it is there and whole.

    Args:
        offline: never touch the network: the file is there, or the error says where to put it.

    Raises:
        DataError: no mirror gave the file; the message lists what each of them did last.
        UserError: the folder cannot be written, or the disk is full.
    """
    path = folder / remote.name
    with files.hold_lock(folder / ".lock"):
        if path.is_file():
            if is_published(path, remote):
                return path
            terminal.note(f"{path} is damaged, or another file of this name")
        if offline:
            raise DataError(_explain_where_to_put(remote, path))
        problems: dict[str, str] = {}
        for attempt in range(patience.rounds):
            if attempt:
                time.sleep(patience.pause * 2 ** (attempt - 1))
            for mirror in remote.mirrors:
                try:
                    _download(mirror + remote.name, path, remote, patience)
                except (
                    OSError,
                    http.client.HTTPException,
                    _MismatchError,
                    _IncompleteError,
                ) as error:
                    problems[mirror] = str(error) or type(error).__name__
                else:
                    return path
    tried = "\n".join(f"  {mirror}{remote.name}: {problem}" for mirror, problem in problems.items())
    raise DataError(
        f"cannot download {remote.name}, after {patience.rounds} tries of each"
        f" mirror:\n{tried}\ncheck the network connection and run the same command again, which"
        " resumes where this one ended; or get the files in another way and name their folder as"
        " data.path"
    )


def is_published(path: Path, remote: RemoteFile) -> bool:
    """Tell whether a file is the published one, by its SHA-256."""
    try:
        return _compute_digest(path, remote).matches
    except _MismatchError:
        return False


def _explain_where_to_put(remote: RemoteFile, path: Path) -> str:
    addresses = " or ".join(mirror + remote.name for mirror in remote.mirrors)
    return (
        f"{path} is missing or wrong, and data.offline forbids downloading it; get it from"
        f" {addresses} and put it there (SHA-256 of its"
        f" {'uncompressed content' if remote.digest_of == 'content' else 'bytes'}:"
        f" {remote.sha256}), or name another folder as data.path"
    )


def _compute_digest(path: Path, remote: RemoteFile) -> _Digest:
    digest = _Digest(remote)
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            digest.update(piece)
    return digest


def _download(url: str, path: Path, remote: RemoteFile, patience: RetryPolicy) -> None:
    """Download the rest of a file, and give it its name; what is incomplete stays for the next try,
    what is wrong is removed.
    """
    part = PartialFile(path)
    try:
        digest = _compute_digest(part.path, remote) if part.size else _Digest(remote)
        if not digest.matches:
            _receive(url, part, digest, remote, patience)
    except _MismatchError:
        part.remove()
        raise
    part.publish()


def _receive(
    url: str, part: PartialFile, digest: _Digest, remote: RemoteFile, patience: RetryPolicy
) -> None:
    """Append what a server sends to the part; `digest` has taken what is in the part."""
    with contextlib.closing(_open_response(url, part, remote, patience)) as response:
        goes_on = response.status == http.HTTPStatus.PARTIAL_CONTENT
        size = _read_resume_offset(response, part) if goes_on else 0
        total = None if response.length is None else size + response.length
        if total is not None and total > remote.most:
            raise _MismatchError(
                f"the server announces {total:,} bytes; the file has no more than {remote.most:,}"
            )
        if not goes_on:
            part.restart(url, response.headers)
            digest = _Digest(remote)
        with terminal.show_download(url, size, total) as advance, part.open_for_append() as append:
            for piece in _read_chunks(response, patience):
                size += len(piece)
                if size > remote.most:
                    raise _MismatchError(
                        f"the server sends more than {remote.most:,} bytes, the most that the"
                        " file has"
                    )
                digest.update(piece)
                append(piece)
                advance(len(piece))
    if digest.matches:
        return
    if total is None and not digest.complete:
        raise _IncompleteError(f"the connection ended after {size:,} bytes, where more must follow")
    if total is not None and size < total:
        raise _IncompleteError(f"the connection ended after {size:,} of {total:,} bytes")
    raise _MismatchError(digest.describe_mismatch())


def _open_response(
    url: str, part: PartialFile, remote: RemoteFile, patience: RetryPolicy
) -> http.client.HTTPResponse:
    """Ask a server for a file, or for the rest of it."""
    headers = part.request_headers(url, same_everywhere=remote.digest_of == "file")
    request = urllib.request.Request(url, headers={"User-Agent": "imgcls", **headers})
    try:
        return urllib.request.urlopen(request, timeout=patience.timeout)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise _MismatchError(
                f"the server has no more than the {part.size:,} bytes that are here, which are not"
                " the file"
            ) from None
        raise
    except ValueError as error:  # a redirection to what is not an address
        raise _IncompleteError(f"the server redirects to an invalid address: {error}") from None


def _read_resume_offset(response: http.client.HTTPResponse, part: PartialFile) -> int:
    """Return from which byte on a server sends the rest of a file."""
    sent = response.headers["Content-Range"] or ""
    if not re.match(rf"bytes {part.size}-", sent):
        raise _MismatchError(
            f"the server was asked for the bytes from {part.size} on, and sends others: '{sent}'"
        )
    return part.size


def _read_chunks(response: http.client.HTTPResponse, patience: RetryPolicy) -> Iterator[bytes]:
    """Yield what arrives as it arrives, unless it stalls: a few bytes now and then would keep a
    connection open forever.
    """
    since, arrived = time.monotonic(), 0
    while piece := response.read1(_CHUNK):
        yield piece
        arrived += len(piece)
        seconds = time.monotonic() - since
        if seconds > patience.timeout:
            if arrived < patience.least:
                raise _IncompleteError(f"stalled: {arrived:,} bytes in {seconds:.0f} s")
            since, arrived = time.monotonic(), 0
