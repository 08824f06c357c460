"""Time and memory to write, open and read stores of many small encoded images.

    python -m bench.records 10000 1281167

Each store is written and read in separate processes, whose peak memory is printed. It writes some
900 bytes per image.
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
    """Write a store of images of 16x16 pixels; return a description of time and size."""
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
    entries = [Entry(f"class/{i:07d}.jpg", i % KINDS) for i in range(count)]
    source = Source(
        [f"class {i}" for i in range(KINDS)], entries, lambda i: files[i % KINDS], version="1"
    )
    start = time.perf_counter()
    store, _ = writer.find_or_write(
        source, ImageSettings(name="small", store_dir=str(folder), storage="encoded")
    )
    return (
        f"written in {(time.perf_counter() - start) / count * 1e6:.0f} us per record,"
        f" {store.manifest.sizes['images.bin'] / 1e6:.0f} MB"
    )


def read(count: int, folder: Path) -> str:
    """Open a store as training does, and read random files; return a description of the times."""
    import numpy

    from imgcls.image.decode import Geometry
    from imgcls.store.store import open_store

    start = time.perf_counter()
    (path,) = folder.glob("small-*")
    store = open_store(path)
    reader = store.open_reader(Geometry((16, 16, 3), "stretch"))
    opened = time.perf_counter() - start
    store.verify()
    verified = time.perf_counter() - start - opened
    generator, seconds = numpy.random.default_rng(0), []
    for indices in generator.integers(0, count, (BATCHES, ROWS)):
        start = time.perf_counter()
        for index in indices.tolist():
            reader.read_file(index)
        seconds.append((time.perf_counter() - start) / ROWS)
    return (
        f"opened in {opened:.3f} s, verified in {verified:.2f} s, read in"
        f" {numpy.median(seconds) * 1e6:.2f} us per record"
    )


def main() -> None:
    """Measure a store for each number of images on the command line."""
    if sys.argv[1] in ("build", "read"):
        print(
            {"build": build, "read": read}[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3])), end=""
        )
        print(f", {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB at most")
        return
    for count in map(int, sys.argv[1:]):
        with tempfile.TemporaryDirectory() as folder:
            for task in ("build", "read"):
                command = [sys.executable, "-m", "bench.records", task, str(count), folder]
                output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                print(f"{count:,}: {output}", end="", flush=True)


if __name__ == "__main__":
    main()
