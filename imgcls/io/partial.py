"""Partially downloaded files, which are kept until the download is complete. Light zone."""

import contextlib
import os
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path

from imgcls.errors import DataError
from imgcls.io import files
from imgcls.io.records import Record, read_record, write_record


class Origin(Record):
    """The source of a partial file."""

    url: str
    """The URL."""
    validator: str | None
    """The ETag or modification date that the server sent; null if it sent neither."""


class PartialFile:
    """The bytes received so far of a file `NAME`, and their source.

    The bytes are in `.NAME.part`, the source is in `.NAME.part.json`.

    Args:
        target: path of the complete file.
    """

    def __init__(self, target: Path):
        self.path = target.with_name(f".{target.name}.part")
        self._target = target
        self._origin_file = target.with_name(f".{target.name}.part.json")

    @property
    def size(self) -> int:
        """Number of bytes received so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def make_range_headers(self, url: str, mirrors_are_identical: bool) -> dict[str, str]:
        """Return HTTP headers that request the rest of the file.

        Without headers, the server sends the file from the start: if nothing was received yet, or
        if it came from another URL whose file may differ.

        Args:
            mirrors_are_identical: whether the file is the same at all URLs.
        """
        origin = self._read_origin()
        if origin and origin.url != url:
            origin = None
        if not self.size or not (mirrors_are_identical or origin):
            return {}
        headers = {"Range": f"bytes={self.size}-"}
        if origin and origin.validator:
            # If the file has changed on the server, it is sent from the start.
            headers["If-Range"] = origin.validator
        return headers

    def restart(self, url: str, headers: Message) -> None:
        """Discard the bytes received so far, and record the source of those that follow.

        Args:
            headers: of the server's response.
        """
        etag = headers["ETag"]
        # Files with the same weak ETag may differ.
        strong_etag = etag if etag and not etag.startswith("W/") else None
        with files.explain_errors(self.path):
            self.path.open("wb").close()
        write_record(
            self._origin_file, Origin(url=url, validator=strong_etag or headers["Last-Modified"])
        )

    @contextlib.contextmanager
    def open_for_append(self) -> Iterator[Callable[[bytes], None]]:
        """Yield a function that appends bytes.

        Raises:
            UserError: the disk is full, or the file cannot be written.
        """
        # Unbuffered: after a failed write, closing would try to write the buffer, and fail again.
        with self.path.open("ab", buffering=0) as stream:

            def append(chunk: bytes) -> None:
                with files.explain_errors(self.path):
                    rest = memoryview(chunk)
                    while rest:
                        rest = rest[stream.write(rest) :]

            yield append

    def remove(self) -> None:
        """Delete the bytes received so far."""
        self.path.unlink(missing_ok=True)
        self._origin_file.unlink(missing_ok=True)

    def publish(self) -> None:
        """Rename the file, which is complete, to its target."""
        with self.path.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(self.path, self._target)
        self._origin_file.unlink(missing_ok=True)
        files.sync_folder(self._target.parent)

    def _read_origin(self) -> Origin | None:
        """Return the source of the bytes; None if its file is missing or damaged."""
        try:
            return read_record(self._origin_file, Origin, "the file is downloaded again")
        except DataError:
            return None
