"""Every command ends with exit code 75 at every stop signal."""

import os
import subprocess
import sys
import time

import pytest

from imgcls.io.signals import STOP_SIGNALS


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_command_that_reads_its_experiment_ends_with_75(number, workspace):
    """The pipe opens for writing once the command waits for its text."""
    os.mkfifo("pipe.yaml")
    command = [sys.executable, "-m", "imgcls.cli", "check", "pipe.yaml"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    with open("pipe.yaml", "w"):
        # Python handles a signal between opening and reading only after the read.
        time.sleep(0.2)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 75
    assert "run the same command again" in stderr
