"""A file that is read: its errors are of one line, and say what to do. Light zone."""

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imgcls.errors import DataError, UserError
from imgcls.io.terminal import to_printable


@dataclass(frozen=True)
class DataFile:
    """A file that is read, and the error messages about it.

    Attributes:
        advice: what to do if the file is damaged, as the end of the message.
        prefix: position in the file, such as `line 3: `, to put before the problem.
    """

    path: Path
    advice: str
    prefix: str = ""

    def read_bytes(self) -> bytes:
        """Return the content of the file.

        Raises:
            DataError: it cannot be read.
        """
        try:
            self.require_regular()
            return self.path.read_bytes()
        except OSError as error:
            raise self.make_read_error(error) from None

    def require_regular(self) -> None:
        """Check that the path is a regular file; reading a pipe or a device could block forever.

        Raises:
            DataError: it is something else.
            OSError: it does not exist, or cannot be accessed.
        """
        mode = self.path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise DataError(to_printable(f"{self.path} is {kind}; remove it, and {self.advice}"))

    def make_read_error(self, error: OSError) -> DataError:
        """Return the exception for a file that cannot be read."""
        reason = error.strerror or str(error)
        if isinstance(error, FileNotFoundError) and self.path.is_symlink():
            reason = f"it is a link to {os.readlink(self.path)}, which does not exist"
        return DataError(to_printable(f"cannot read {self.path}: {reason}; {self.advice}"))

    def make_damage_error(self, problem: str) -> DataError:
        """Return the exception for a damaged file."""
        return DataError(
            to_printable(f"{self.path} is damaged ({self.prefix}{problem}); {self.advice}")
        )

    @contextlib.contextmanager
    def explain_damage(self) -> Iterator[None]:
        """Turn what parsing the content raises in the block into the error for a damaged file.

        After a flipped bit, pickle, zipfile, h5py and numpy raise nearly anything.

        Raises:
            DataError: the file is damaged.
        """
        try:
            yield
        except (UserError, MemoryError):
            raise
        except Exception as error:
            raise self.make_damage_error(str(error) or type(error).__name__) from None

    @contextlib.contextmanager
    def explain_errors(self) -> Iterator[None]:
        """Check that the file is regular, and explain errors of opening and parsing it.

        Raises:
            DataError: the file cannot be read, or is damaged.
        """
        with self.explain_damage():
            try:
                self.require_regular()
                yield
            except OSError as error:
                if not error.errno:  # from a library, about the content
                    raise
                raise self.make_read_error(error) from None
