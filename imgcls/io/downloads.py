"""Downloads with resumption, mirrors, retries, timeouts, and verification by SHA-256. Light zone.

The bytes received so far are in `.NAME.part`, and their URL is in `.NAME.part.json`. Both survive a
killed process, and the next one requests only the missing range (RFC 9110, section 14). A file gets
its name only after its SHA-256 was verified.

pooch (1.9) is not used, since it restarts downloads from the first byte, and does not support
mirrors, a maximum size, stalling servers, or hashes of the uncompressed content of gzip files.
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
        name: file name, locally and on each mirror.
        sha256: of the file, or of its uncompressed content; see `digest_of`.
        mirrors: base URLs, which end with a slash.
        max_bytes: maximum size of the file, in bytes; more is not downloaded.
        digest_of: `content` for gzip files that mirrors compressed separately, whose bytes differ.
    """

    name: str
    sha256: str
    mirrors: tuple[str, ...]
    max_bytes: int
    digest_of: Literal["file", "content"] = "file"


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long to try.

    Attributes:
        rounds: number of rounds over all mirrors.
        pause: seconds between the first two rounds; doubled after each round.
        timeout: seconds without data, or with fewer than `min_bytes`, after which a mirror counts
            as stalled.
        min_bytes: number of bytes that must arrive within each timeout.
    """

    rounds: int = 4
    pause: float = 1.0
    timeout: float = 20.0
    min_bytes: int = 10_000


class _MismatchError(Exception):
    """The received bytes are not the file; the message says why."""


class _IncompleteError(Exception):
    """The download is incomplete; the message says how much was received."""


class _Digest:
    """The SHA-256 of a file, updated as its bytes arrive."""

    def __init__(self, remote: RemoteFile):
        self._expected = remote.sha256
        self._sha256 = hashlib.sha256()
        # 31 selects the gzip format, whose checksum is then verified.
        self._gzip = zlib.decompressobj(wbits=31) if remote.digest_of == "content" else None

    def update(self, chunk: bytes) -> None:
        """Add the next bytes.

        Raises:
            _MismatchError: they cannot belong to the file.
        """
        if self._gzip is None:
            self._sha256.update(chunk)
            return
        try:
            self._sha256.update(self._gzip.decompress(chunk))
        except zlib.error as error:
            raise _MismatchError(f"it is not a gzip file, or damaged: {error}") from None
        if self._gzip.unused_data:
            raise _MismatchError("other bytes follow the end of the gzip data")

    @property
    def is_complete(self) -> bool:
        """Whether the gzip data has ended; always true for other files."""
        return self._gzip is None or self._gzip.eof

    @property
    def matches(self) -> bool:
        """Whether the bytes so far are the expected file."""
        return self.is_complete and self._sha256.hexdigest() == self._expected

    def describe_mismatch(self) -> str:
        """Return why the bytes are not the expected file."""
        if not self.is_complete:
            return "the gzip data ends too early"
        subject = "uncompressed content" if self._gzip else "file"
        return (
            f"the SHA-256 of the {subject} is {self._sha256.hexdigest()}, expected {self._expected}"
        )


def fetch(
    remote: RemoteFile, folder: Path, offline: bool = False, retry: RetryPolicy = RetryPolicy()
) -> Path:
    """Return the path of a file in a folder; download it unless it is there and intact.

    Args:
        offline: raise an error instead of using the network.

    Raises:
        DataError: no mirror provided the file; the message lists the last error of each. Or
            `offline` is set, and the file is missing or damaged.
        UserError: the folder cannot be written, or the disk is full.
    """
    path = folder / remote.name
    with files.hold_lock(folder / ".lock"):
        if path.is_file():
            if verify(path, remote):
                return path
            terminal.note(f"{path} is damaged, or another file of this name")
        if offline:
            raise DataError(_explain_manual_download(remote, path))
        problems: dict[str, str] = {}
        for attempt in range(retry.rounds):
            if attempt:
                time.sleep(retry.pause * 2 ** (attempt - 1))
            for mirror in remote.mirrors:
                try:
                    _download(mirror + remote.name, path, remote, retry)
                except (
                    OSError,
                    http.client.HTTPException,
                    _MismatchError,
                    _IncompleteError,
                ) as error:
                    problems[mirror] = str(error) or type(error).__name__
                else:
                    return path
    lines = "\n".join(f"  {mirror}{remote.name}: {problem}" for mirror, problem in problems.items())
    raise DataError(
        f"cannot download {remote.name}, after {retry.rounds} tries of each mirror:\n{lines}\n"
        "check the network connection and run the same command again, which resumes the download;"
        " or download the files yourself, and set data.path to their folder"
    )


def verify(path: Path, remote: RemoteFile) -> bool:
    """Tell whether a file has the expected SHA-256."""
    try:
        return _compute_digest(path, remote).matches
    except _MismatchError:
        return False


def _explain_manual_download(remote: RemoteFile, path: Path) -> str:
    addresses = " or ".join(mirror + remote.name for mirror in remote.mirrors)
    return (
        f"{path} is missing or wrong, and data.offline forbids downloading it; get it from"
        f" {addresses} and put it there (SHA-256 of its"
        f" {'uncompressed content' if remote.digest_of == 'content' else 'bytes'}:"
        f" {remote.sha256}), or set data.path to another folder"
    )


def _compute_digest(path: Path, remote: RemoteFile) -> _Digest:
    digest = _Digest(remote)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest


def _download(url: str, path: Path, remote: RemoteFile, retry: RetryPolicy) -> None:
    """Download a file, or the rest of it, and rename it to `path`.

    Incomplete data is kept for the next attempt; wrong data is removed.
    """
    part = PartialFile(path)
    try:
        digest = _compute_digest(part.path, remote) if part.size else _Digest(remote)
        if not digest.matches:
            _receive(url, part, digest, remote, retry)
    except _MismatchError:
        part.remove()
        raise
    part.publish()


def _receive(
    url: str, part: PartialFile, digest: _Digest, remote: RemoteFile, retry: RetryPolicy
) -> None:
    """Append a server's response to a partial file, whose bytes `digest` already includes."""
    with contextlib.closing(_open_response(url, part, remote, retry)) as response:
        is_resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        size = _read_resume_offset(response, part) if is_resumed else 0
        total = None if response.length is None else size + response.length
        if total is not None and total > remote.max_bytes:
            raise _MismatchError(
                f"the server announces {total:,} bytes, more than the maximum of"
                f" {remote.max_bytes:,}"
            )
        if not is_resumed:
            part.restart(url, response.headers)
            digest = _Digest(remote)
        with terminal.show_download(url, size, total) as advance, part.open_for_append() as append:
            for chunk in _read_chunks(response, retry):
                size += len(chunk)
                if size > remote.max_bytes:
                    raise _MismatchError(
                        f"the server sends more than the maximum of {remote.max_bytes:,} bytes"
                    )
                digest.update(chunk)
                append(chunk)
                advance(len(chunk))
    if digest.matches:
        return
    if total is None and not digest.is_complete:
        raise _IncompleteError(f"the connection ended after {size:,} bytes, before the file's end")
    if total is not None and size < total:
        raise _IncompleteError(f"the connection ended after {size:,} of {total:,} bytes")
    raise _MismatchError(digest.describe_mismatch())


def _open_response(
    url: str, part: PartialFile, remote: RemoteFile, retry: RetryPolicy
) -> http.client.HTTPResponse:
    """Request a file, or the rest of it."""
    headers = part.make_range_headers(url, mirrors_are_identical=remote.digest_of == "file")
    request = urllib.request.Request(url, headers={"User-Agent": "imgcls", **headers})
    try:
        return urllib.request.urlopen(request, timeout=retry.timeout)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise _MismatchError(
                f"the server's file is not longer than the {part.size:,} bytes already received,"
                " whose SHA-256 is wrong"
            ) from None
        raise
    except ValueError as error:  # a redirection to an invalid URL
        raise _IncompleteError(f"the server redirects to an invalid address: {error}") from None


def _read_resume_offset(response: http.client.HTTPResponse, part: PartialFile) -> int:
    """Return the offset at which a partial response begins, after checking it."""
    sent = response.headers["Content-Range"] or ""
    if not re.match(rf"bytes {part.size}-", sent):
        raise _MismatchError(
            f"the server was asked for the range from byte {part.size}, but sends '{sent}'"
        )
    return part.size


def _read_chunks(response: http.client.HTTPResponse, retry: RetryPolicy) -> Iterator[bytes]:
    """Yield the body of a response in chunks.

    Raises:
        _IncompleteError: fewer than `retry.min_bytes` arrive within a timeout. The socket's timeout
            does not cover a server that sends a few bytes now and then.
    """
    start, received = time.monotonic(), 0
    while chunk := response.read1(_CHUNK):
        yield chunk
        received += len(chunk)
        seconds = time.monotonic() - start
        if seconds > retry.timeout:
            if received < retry.min_bytes:
                raise _IncompleteError(f"stalled: {received:,} bytes in {seconds:.0f} s")
            start, received = time.monotonic(), 0
