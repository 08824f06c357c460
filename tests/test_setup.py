"""`make setup` and `make setup GPU=1`, with a `python` that only notes what pip is asked for."""

import shutil
import subprocess

import pytest
from source_code import ROOT

PYTHON = """#!/bin/sh
test "$1" = -m || exit 0
for folder; do :; done
case "$*" in *--clear*) rm -rf "$folder"; echo cleared >> asked;; esac
mkdir -p "$folder/bin"
printf '#!/bin/sh\\necho "$*" >> asked\\n' > "$folder/bin/pip"
chmod +x "$folder/bin/pip"
"""


@pytest.fixture
def setup(tmp_path):
    """Return a function that runs `make setup` with arguments; it returns the output, and what was
    installed since the last call.
    """
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "requirements-gpu.lock"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)

    def run(*arguments: str) -> tuple[str, list[str]]:
        asked = tmp_path / "asked"
        asked.write_text("")
        done = subprocess.run(
            ["make", "--silent", "setup", f"PYTHON={python}", "GPU_FILES=", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout, [line.split()[-1] for line in asked.read_text().splitlines()]

    return run


def test_each_set_of_versions_is_installed_once_and_gpu_1_is_remembered(setup):
    assert setup()[1] == ["requirements.lock", "."]
    assert setup()[1] == []
    assert setup("GPU=1")[1] == ["requirements-gpu.lock", "."]
    assert setup("GPU=1")[1] == []
    assert setup()[1] == []  # as before `make test`
    assert setup("GPU=")[1] == ["cleared", "requirements.lock", "."]


def test_a_gpu_is_pointed_out_if_its_libraries_are_not_installed(setup):
    assert "make setup GPU=1" in setup("GPU_FILES=/dev/nvidia0")[0]
    assert setup()[0] == ""
    assert setup("GPU_FILES=/dev/nvidia0", "GPU=1")[0] == ""


def test_the_versions_for_gpus_are_the_others_and_cudas():
    def read(name: str) -> set[str]:
        lines = (ROOT / name).read_text().splitlines()
        return {line.split()[0] for line in lines if line and line[0].isalpha()}

    cpu, gpu = read("requirements.lock"), read("requirements-gpu.lock")
    assert cpu < gpu
    assert all(name.startswith("nvidia-") for name in gpu - cpu)
    assert {"nvidia-cudnn-cu12", "nvidia-cusolver-cu12", "nvidia-nccl-cu12"} <= {
        name.partition("==")[0] for name in gpu
    }
