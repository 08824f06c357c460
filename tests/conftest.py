"""Fixtures that many tests share."""

import gc
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from compression_tables import measure_quickly, write_table
from experiments import experiment
from synthetic_run import make_run

from imgcls.config import Experiment
from imgcls.run import Run
from imgcls.verbs.prepare import prepare

ROOT = Path(__file__).parent.parent


@pytest.fixture
def configs() -> list[Path]:
    """The experiment files that come with imgcls."""
    return sorted((ROOT / "configs").glob("*.yaml"))


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session", autouse=True)
def two_logical_devices():
    """Divide the CPU in two before the first operation, which TensorFlow allows only then; the
    first one is also the one device.
    """
    from imgcls.backend import tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture(scope="session", autouse=True)
def no_stream_at_exit():
    """Let go of the streams of tests, those that failed too: TensorFlow's threads that call Python
    could never end when it exits, see `StreamingIterator.close`.
    """
    yield
    sys.last_value = sys.last_traceback = None
    gc.collect()


@pytest.fixture(scope="module", autouse=True)
def quick_garbage_collection():
    """Exempt what is left of a file's tests from later collections, of which each training makes
    one: after some files, they would look through millions of objects.
    """
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def float32_policy(two_logical_devices):
    """Reset Keras's global dtype policy, which building a model sets."""
    from imgcls.backend import keras

    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A folder with the digits' store."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare(experiment(folder, f"data.store_dir={folder / 'data'}"))
    return folder


@pytest.fixture
def digits(prepared, workspace) -> Callable[..., Experiment]:
    """Return the tiny experiment on prepared digits, with overrides; the current folder is
    empty.
    """
    return lambda *overrides: experiment(
        workspace, f"data.store_dir={prepared / 'data'}", *overrides
    )


@pytest.fixture
def quick_measurement(monkeypatch):
    """Measure compressed models quickly, as `measure_quickly` says."""
    measure_quickly(monkeypatch)


@pytest.fixture
def copied(request, workspace) -> Path:
    """The current folder, with a copy of the one that a module's fixture `trained` returns."""
    shutil.copytree(request.getfixturevalue("trained"), workspace, dirs_exist_ok=True)
    return workspace


@pytest.fixture(scope="session", params=[3, 100], ids=["3 classes", "100 classes"])
def evaluated_run(request, tmp_path_factory) -> Run:
    """A synthetic run with few and with many classes, which augments by flips and is compressed."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    run = make_run(folder, classes=request.param, augment=[{"name": "random_flip"}])
    write_table(run)
    return run
