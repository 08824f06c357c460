"""Reading in several processes: the same pixels as in one, whatever becomes of the processes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy
import pytest
from experiments import data_workers, experiment
from PIL import Image
from sklearn.datasets import load_sample_images

from imgcls.datasets import digits
from imgcls.errors import DataError, OutOfMemoryError
from imgcls.image.decode import Geometry
from imgcls.store import reader_pool
from imgcls.store.data_workers import CHUNK
from imgcls.store.reader import PixelReader
from imgcls.store.reader_pool import DataWorkerPool
from imgcls.store.store import open_store
from imgcls.verbs import prepare, train

GEOMETRY = Geometry((24, 32, 3), "crop")
STORES = {
    "encoded": {"storage": "encoded"},
    "larger pixels": {"stored_size": [40, 40], "size": [24, 32]},
}


def make_store(folder, settings):
    """Return a store of 20 photos, JPEG and PNG in turn."""
    for number in range(20):
        photo = load_sample_images().images[number % 2]
        path = (
            folder
            / "photos"
            / ("china", "flower")[number % 2]
            / f"{number}{('.jpg', '.png')[number // 2 % 2]}"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo[7 * number : 7 * number + 90, 9 * number : 9 * number + 60]).save(
            path
        )
    data = {
        "name": "folder",
        "path": str(folder / "photos"),
        "store_dir": str(folder / "data"),
        **settings,
    }
    return prepare.find_or_store(experiment(folder, f"data={data}").data)[0]


@pytest.fixture(scope="module", params=STORES)
def each_store(request, tmp_path_factory):
    """A store of each kind that processes read."""
    return make_store(tmp_path_factory.mktemp("each"), STORES[request.param])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of encoded photos, where only the processes matter."""
    return make_store(tmp_path_factory.mktemp("encoded"), STORES["encoded"])


def wait_for(count, parent, others=frozenset()):
    """Return the data workers of a process besides some others once they are so many: a new one
    has no command line for a moment.
    """
    deadline = time.monotonic() + 30
    while len(found := set(data_workers(parent)) - others) != count:
        assert time.monotonic() < deadline, found
        time.sleep(0.01)
    return sorted(found)


@pytest.fixture
def mine():
    """Return a function that waits for new processes of this one: those of an earlier test may
    not have ended yet.
    """
    return partial(wait_for, parent=os.getpid(), others=frozenset(data_workers(os.getpid())))


def request(count, generator=None):
    generator = generator or numpy.random.default_rng(0)
    tops, lefts = generator.integers(0, 20, count), generator.integers(0, 20, count)
    crops = numpy.stack(
        [tops, lefts, generator.integers(1, 20, count), generator.integers(1, 20, count)], axis=1
    ).astype(numpy.int32)
    return generator.integers(0, 20, count), crops, generator.random(count) < 0.5


def assert_reads_the_same(processes, store, count=16):
    local, (indices, crops, flips) = store.open_reader(GEOMETRY), request(count)
    numpy.testing.assert_array_equal(processes.read(indices), local.read(indices))
    numpy.testing.assert_array_equal(
        processes.crop(indices, crops, flips), local.crop(indices, crops, flips)
    )


@pytest.mark.parametrize("count", [0, 1, 16, 2 * CHUNK + 3])
def test_processes_read_the_same_images_as_one_reader(each_store, count):
    assert_reads_the_same(DataWorkerPool(each_store, GEOMETRY, 2), each_store, count)


def test_a_batch_is_not_overwritten_by_later_ones(each_store):
    processes, local = DataWorkerPool(each_store, GEOMETRY, 1), each_store.open_reader(GEOMETRY)
    batches = [(request(8, numpy.random.default_rng(i))[0]) for i in range(5)]
    for indices, images in [(indices, processes.read(indices)) for indices in batches]:
        numpy.testing.assert_array_equal(images, local.read(indices))


def test_a_store_is_found_from_another_folder(each_store, tmp_path, monkeypatch):
    monkeypatch.chdir(each_store.folder.parent)
    processes = DataWorkerPool(open_store(Path(each_store.folder.name)), GEOMETRY, 1)
    monkeypatch.chdir(tmp_path)
    numpy.testing.assert_array_equal(
        processes.read(numpy.arange(20)), each_store.open_reader(GEOMETRY).read(numpy.arange(20))
    )


def test_sizes_need_no_process(each_store):
    indices = numpy.arange(20)
    numpy.testing.assert_array_equal(
        DataWorkerPool(each_store, GEOMETRY, 1).get_sizes(indices),
        each_store.open_reader(GEOMETRY).get_sizes(indices),
    )


def test_the_given_number_of_processes_ends_with_the_reader(store, mine):
    processes = DataWorkerPool(store, GEOMETRY, 3)
    assert mine(0) == []
    with ThreadPoolExecutor(9) as threads:
        list(threads.map(processes.read, [numpy.arange(20)] * 90))
    mine(3)
    del processes
    assert mine(0) == []


def test_a_closed_reader_has_no_processes_and_raises_an_error(store, mine):
    processes = DataWorkerPool(store, GEOMETRY, 2)
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(processes.read, numpy.arange(20)) for _ in range(40)]
        asked[0].result()
        processes.close()
        assert mine(0) == []
        local = store.open_reader(GEOMETRY).read(numpy.arange(20))
        for each in asked:
            if each.exception() is None:
                numpy.testing.assert_array_equal(each.result(), local)
            else:
                assert str(each.exception()) == "images were read after the reader was closed"
    with pytest.raises(RuntimeError, match="after the reader was closed"):
        processes.read(numpy.arange(20))


def test_a_process_that_is_killed_is_replaced_with_a_note(store, mine, capsys):
    processes = DataWorkerPool(store, GEOMETRY, 1)
    assert_reads_the_same(processes, store)
    (killed,) = mine(1)
    os.kill(killed, signal.SIGKILL)
    assert_reads_the_same(processes, store)
    assert "note: a data worker ended with exit code -9; started another" in capsys.readouterr().err
    (other,) = mine(1)
    assert other != killed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_data_workers_ignore_stop_signals(store, mine, number):
    processes = DataWorkerPool(store, GEOMETRY, 1)
    assert_reads_the_same(processes, store)
    (child,) = mine(1)
    os.kill(child, number)
    assert_reads_the_same(processes, store)
    assert mine(1) == [child]


def test_a_bug_in_a_process_is_raised_by_the_reader_with_one_traceback(store, mine, capfd):
    processes = DataWorkerPool(store, GEOMETRY, 1)
    with pytest.raises(RuntimeError, match="IndexError: index 1000000 is out of bounds") as caught:
        processes.read(numpy.array([10**6]))
    assert str(caught.value).startswith("in a data worker:\nTraceback")
    assert str(caught.value).count("Traceback") == 1
    assert capfd.readouterr().err == ""
    (same,) = mine(1)
    assert_reads_the_same(processes, store)
    assert mine(1) == [same]


def truncate(path):
    os.truncate(path, 100)


def overwrite(path):
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("images.bin", truncate, r"images.bin is damaged \(it ends before byte [\d,]+\); run"),
        ("images.bin", overwrite, r"images.bin is damaged \(image 0 cannot be decoded: .*\); run"),
        ("images.bin", Path.unlink, "cannot read .*images.bin: No such file or directory; run"),
        ("records.npy", truncate, r"records.npy is damaged \(.*\); run `imgcls prepare` again"),
        ("manifest.json", Path.unlink, r"is not a store: it has no manifest.json"),
        (".", shutil.rmtree, r"is not a store: it has no manifest.json"),
    ],
)
@pytest.mark.parametrize("method", ["read", "crop"])
def test_data_that_cannot_be_read_is_the_same_error_as_in_one_process(
    store, tmp_path, capfd, name, change, message, method
):
    shutil.copytree(store.folder, tmp_path / "store")
    processes = DataWorkerPool(open_store(tmp_path / "store"), GEOMETRY, 1)
    change(tmp_path / "store" / name)
    crops = numpy.array([[0, 0, 20, 20]]), numpy.array([False])
    with pytest.raises(DataError, match=message) as caught:
        getattr(processes, method)(numpy.array([0]), *(crops if method == "crop" else ()))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGKILL, OutOfMemoryError), (signal.SIGSEGV, RuntimeError)]
)
def test_processes_that_die_again_and_again_before_they_read_end_in_one_line(
    store, monkeypatch, capsys, number, error
):
    start = subprocess.Popen

    def start_and_kill(command, **options):
        process = start(["sleep", "60"], **options)
        process.send_signal(number)
        process.wait()
        return process

    monkeypatch.setattr(subprocess, "Popen", start_and_kill)
    with pytest.raises(error, match=f"3 data workers ended [^\n]* exit code -{number}[^\n]*"):
        DataWorkerPool(store, GEOMETRY, 1).read(numpy.arange(20))
    assert capsys.readouterr().err.count("started another") == 2


def test_a_killed_process_leaves_no_data_worker(store):
    code = (
        "import time; from pathlib import Path; from imgcls.image.decode import Geometry; from"
        " imgcls.store.store import open_store\nfrom imgcls.store.reader_pool import"
        f" DataWorkerPool\nprocesses = DataWorkerPool(open_store(Path({str(store.folder)!r})),"
        " Geometry((24, 32, 3), 'crop'), 2)\nimport numpy;"
        " processes.read(numpy.zeros(600, 'int64')); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        try:
            orphans = wait_for(2, parent.pid)
        finally:
            parent.kill()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{orphan}").exists() for orphan in orphans):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_training_leaves_no_data_worker(store, mine, tmp_path):
    data = (
        f"data={{name: folder, path: {store.folder.parent.parent / 'photos'}, store_dir:"
        f" {tmp_path / 'data'}, size: [8, 8], storage: encoded}}"
    )
    wanted = experiment(tmp_path, data, "augment=[{name: random_resized_crop}]", "train.epochs=1")
    prepare.prepare(wanted)
    train.train(wanted, tmp_path / "run")
    assert mine(0) == []


def test_only_pixels_of_the_models_size_are_read_without_processes(each_store):
    assert isinstance(reader_pool.open_reader(each_store, GEOMETRY, 1), DataWorkerPool)
    pixels = prepare.find_or_store(
        digits.Settings(name="digits", store_dir=str(each_store.folder.parent))
    )[0]
    assert isinstance(
        reader_pool.open_reader(pixels, Geometry(pixels.shape, "stretch"), 1), PixelReader
    )
