"""Stores of many small encoded images: what a record costs to write and to read, to open the store,
and the memory it takes.

    python -m bench.records 10000 1281167

Every count is built and read in a process of its own, whose largest memory is stated. It writes
some 900 bytes an image.
"""

import io
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BATCHES, ROWS = 400, 128
KINDS = 1000


def build(count: int, folder: Path) -> str:
    """Store so many images of 16x16 pixels; return what it took."""
    import numpy
    from PIL import Image

    from imgcls.datasets import Entry, ImageSettings, Source
    from imgcls.store import writer

    generator = numpy.random.default_rng(0)
    files = []
    for pixels in generator.integers(0, 256, (KINDS, 16, 16, 3), numpy.uint8):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=75)
        files.append(stream.getvalue())
    entries = [Entry(f"class/{place:07d}.jpg", place % KINDS) for place in range(count)]
    source = Source(
        [f"class {i}" for i in range(KINDS)],
        entries,
        lambda place: files[place % KINDS],
        version="1",
    )
    began = time.perf_counter()
    store, _ = writer.find_or_write(
        source, ImageSettings(name="small", store_dir=str(folder), storage="encoded")
    )
    return (
        f"written in {(time.perf_counter() - began) / count * 1e6:.0f} us a record,"
        f" {store.manifest.sizes['images.bin'] / 1e6:.0f} MB"
    )


def read(count: int, folder: Path) -> str:
    """Open a store as training does, and read files at random; return what it took."""
    import numpy

    from imgcls.image.decode import Geometry
    from imgcls.store.store import open_store

    began = time.perf_counter()
    (path,) = folder.glob("small-*")
    store = open_store(path)
    reader = store.reader(Geometry((16, 16, 3), "stretch"))
    opened = time.perf_counter() - began
    store.verify()
    verified = time.perf_counter() - began - opened
    generator, seconds = numpy.random.default_rng(0), []
    for indices in generator.integers(0, count, (BATCHES, ROWS)):
        began = time.perf_counter()
        for index in indices.tolist():
            reader.file(index)
        seconds.append((time.perf_counter() - began) / ROWS)
    return (
        f"opened in {opened:.3f} s, verified in {verified:.2f} s, read in"
        f" {numpy.median(seconds) * 1e6:.2f} us a record"
    )


def main() -> None:
    """Measure every count that the command line names."""
    if sys.argv[1] in ("build", "read"):
        print(
            {"build": build, "read": read}[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3])), end=""
        )
        print(f", {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB at most")
        return
    for count in map(int, sys.argv[1:]):
        with tempfile.TemporaryDirectory() as folder:
            for work in ("build", "read"):
                command = [sys.executable, "-m", "bench.records", work, str(count), folder]
                found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                print(
                    f"{count:,}: {found}",
                    end="",
                    flush=True,
                )


if __name__ == "__main__":
    main()
