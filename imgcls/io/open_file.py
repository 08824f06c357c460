"""Reading byte ranges of an open file. Light zone.

Files of data are not memory-mapped: if one were truncated while it is in use, the system would kill
the process (SIGBUS), and nobody would learn why. Reading takes longer: for 128 random images of
28x28x1, 0.18 ms instead of 0.02 (64x64x3: 0.34 instead of 0.14), for 54,000 at once 15 ms instead
of 10, on two cores of an AMD EPYC.
"""

import os
import weakref
from pathlib import Path

from imgcls.io.data_file import DataFile


class OpenFile:
    """A file that is open for reading; it is closed when this object is deleted.

    Args:
        advice: what to do if the file is damaged, as the end of the message.

    Raises:
        DataError: it cannot be read.
    """

    def __init__(self, path: Path, advice: str):
        self._file = DataFile(path, advice)
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise self._file.make_read_error(error) from None
        self.close = weakref.finalize(self, os.close, self._descriptor)
        self.make_damage_error = self._file.make_damage_error

    def read_into(self, target: memoryview, start: int) -> None:
        """Fill a buffer with the bytes from `start` on.

        Raises:
            DataError: the file cannot be read, or ends before.
        """
        while target:  # the system reads at most 2 GiB at once
            try:
                count = os.preadv(self._descriptor, [target], start)
            except OSError as error:
                raise self._file.make_read_error(error) from None
            if not count:
                raise self.make_damage_error(f"it ends before byte {start + len(target):,}")
            target, start = target[count:], start + count
