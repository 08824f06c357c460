"""What has arrived of a file that is being downloaded: kept beside its place until it is whole.
Light zone.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path

from imgcls.errors import DataError
from imgcls.io import files
from imgcls.io.records import Record, read_record, write_record


class Origin(Record):
    """Where the bytes of a part are from."""

    url: str
    """The address."""
    validator: str | None
    """The ETag or the date by which its server tells another state of the file; null without."""


class PartialFile:
    """The bytes that have arrived of the file `NAME`, in `.NAME.part`, and where they are from, in
    `.NAME.part.json`.
    """

    def __init__(self, whole: Path):
        self.path = whole.with_name(f".{whole.name}.part")
        self._whole = whole
        self._origin_file = whole.with_name(f".{whole.name}.part.json")

    @property
    def size(self) -> int:
        """The number of bytes that are here."""
        return self.path.stat().st_size if self.path.exists() else 0

    def request_headers(self, url: str, same_everywhere: bool) -> dict[str, str]:
        """Return what asks for the rest of the file alone; nothing, where what is here may be of
        another one.

        Args:
            same_everywhere: whether all addresses are known to hold the same bytes.
        """
        origin = self._read_origin()
        of_address = origin is not None and origin.url == url
        if not self.size or not (same_everywhere or of_address):
            return {}
        headers = {"Range": f"bytes={self.size}-"}
        if of_address and origin.validator:
            # A file that has changed since comes as a whole.
            headers["If-Range"] = origin.validator
        return headers

    def restart(self, url: str, headers: Message) -> None:
        """Forget what is here: the whole file is about to come from an address."""
        etag = headers["ETag"]
        strong = (
            etag if etag and not etag.startswith("W/") else None
        )  # a weak one does not promise the same bytes
        with files.explain_errors(self.path):
            self.path.open("wb").close()
        write_record(
            self._origin_file, Origin(url=url, validator=strong or headers["Last-Modified"])
        )

    @contextlib.contextmanager
    def open_for_append(self) -> Iterator[Callable[[bytes], None]]:
        """Yield what appends bytes.

        Raises:
            UserError: the disk is full, or the file cannot be written.
        """
        with self.path.open(
            "ab", buffering=0
        ) as stream:  # no buffer, which would fail anew when it is closed

            def append(piece: bytes) -> None:
                with files.explain_errors(self.path):
                    rest = memoryview(piece)
                    while rest:
                        rest = rest[stream.write(rest) :]

            yield append

    def remove(self) -> None:
        """Throw away what is here."""
        self.path.unlink(missing_ok=True)
        self._origin_file.unlink(missing_ok=True)

    def publish(self) -> None:
        """Give the file its name."""
        with self.path.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(self.path, self._whole)
        self._origin_file.unlink(missing_ok=True)
        files.sync_folder(self._whole.parent)

    def _read_origin(self) -> Origin | None:
        """Return where the part is from; None where that is not known."""
        try:
            return read_record(self._origin_file, Origin, "the file is downloaded as a whole")
        except DataError:
            return None
