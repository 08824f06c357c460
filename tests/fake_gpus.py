"""GPUs of a machine that has none: an executable `nvidia-smi`, device files, and what TensorFlow
lists.
"""

import sys
import types
from pathlib import Path

H100 = "NVIDIA H100 80GB HBM3"


def make_line(
    index: int,
    name: str = H100,
    used: str = "0",
    total: str = "81559",
    utilization: str = "0",
    capability: str = "9.0",
    slices: str = "Disabled",
) -> str:
    """Return the line that nvidia-smi prints for a GPU."""
    fields = (
        str(index),
        make_uuid(index),
        f"00000000:{index + 1:02X}:00.0",
        name,
        total,
        used,
        utilization,
        capability,
        "550.54.15",
        slices,
    )
    return ", ".join(fields)


def make_uuid(index: int) -> str:
    """Return the UUID of the fake GPU with this index."""
    return f"GPU-{index}0000000-0000-0000-0000-000000000000"


def install_nvidia_smi(monkeypatch, folder: Path, output: str, exit_code: int = 0) -> Path:
    """Put an executable `nvidia-smi` into PATH that prints this to stdout.

    Returns: a file that has the arguments of each call, one a line.
    """
    calls = folder / "calls"
    script = folder / "bin" / "nvidia-smi"
    script.parent.mkdir(exist_ok=True)
    script.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        f"open({str(calls)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
        f"print({output!r})\n"
        f"sys.exit({exit_code})\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent), prepend=":")
    return calls


def make_device_files(root: Path, count: int) -> Path:
    """Write the device files of GPUs, and those that are not of one GPU; return `root`."""
    (root / "dev").mkdir()
    for name in ("nvidiactl", "nvidia-uvm", *[f"nvidia{index}" for index in range(count)]):
        (root / "dev" / name).touch()
    return root


def make_devices(count: int) -> list:
    """Return what stands for TensorFlow's physical devices."""
    return [types.SimpleNamespace(name=f"physical:{index}") for index in range(count)]


class FakedTensorflow:
    """What replaces TensorFlow's list of GPUs and its setters, with what was set by them."""

    def __init__(self, monkeypatch, count: int):
        from imgcls.backend import tf

        devices = make_devices(count)
        self.visible = None
        self.growth = []
        self.limits = {}
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: devices)
        monkeypatch.setattr(tf.config, "set_visible_devices", self._set_visible)
        monkeypatch.setattr(
            tf.config.experimental,
            "set_memory_growth",
            lambda device, _: self.growth.append(device.name),
        )
        monkeypatch.setattr(tf.config, "set_logical_device_configuration", self._set_limit)

    def _set_visible(self, devices, kind):
        assert kind == "GPU"
        self.visible = [device.name for device in devices]

    def _set_limit(self, device, configurations):
        (one,) = configurations
        self.limits[device.name] = one.memory_limit
