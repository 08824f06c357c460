"""Fixtures that many tests share."""

from pathlib import Path

import pytest

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
    """Divide the CPU in two before the first operation, which TensorFlow allows only then; the first one is also the one device."""
    from imgcls.backend import tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
