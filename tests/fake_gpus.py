"""GPUs of a machine that has none: an executable `nvidia-smi`, and device files."""

import sys
from pathlib import Path

H100 = "NVIDIA H100 80GB HBM3"


def make_line(
    index: int,
    name: str = H100,
    used: str = "0",
    total: str = "81559",
    utilization: str = "0",
    capability: str = "9.0",
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
