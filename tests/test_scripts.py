"""The scripts for Slurm and ssh, run with stand-ins for `srun`, `scontrol` and `ssh` that start the
workers on this machine.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from experiments import (
    TINY,
    free_addresses,
    json_of,
    wait_for_a_step_inside_an_epoch,
    write_experiment,
)

from imgcls.run import Run

SCRIPTS = Path(__file__).parent.parent / "scripts"
SRUN = """#!/bin/bash
# Starts two tasks of a one-node job, as `srun` does; its exit code is the highest.
while [[ $1 == --* ]]; do shift; done
for rank in 0 1; do
    export SLURM_PROCID=$rank SLURM_STEP_NODELIST=localhost SLURM_STEP_TASKS_PER_NODE=2
    SLURMD_NODENAME=localhost "$@" & pids+=($!)
done
highest=0
for pid in ${pids[@]}; do wait $pid; status=$?; ((status > highest)) && highest=$status; done
exit $highest
"""
SCONTROL = '#!/bin/bash\necho "$@" >> requeued\n'
SSH = '#!/bin/bash\nshift\nexec bash -c "$*"\n'


@pytest.fixture
def environment(workspace):
    """The environment of a script, with stand-ins first on the PATH."""
    (workspace / "bin").mkdir()
    for name, content in (("srun", SRUN), ("scontrol", SCONTROL), ("ssh", SSH)):
        (workspace / "bin" / name).write_text(content)
        (workspace / "bin" / name).chmod(0o755)
    path = os.pathsep.join(
        [str(workspace / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    )
    return {
        **os.environ,
        "PATH": path,
        "SLURM_JOB_ID": str(random.randrange(100_000)),
        "HOSTS": " ".join(free_addresses(2)),
    }


@pytest.fixture
def spread(workspace):
    """An experiment for several workers, long enough to be interrupted."""
    train = {
        "epochs": 15,
        "batch_size": 64,
        "steps_per_execution": 3,
        "checkpoint": "5 steps",
        "strategy": {"name": "multi_worker"},
    }
    return write_experiment(workspace, {**TINY, "train": train})


def workers_of(folder):
    """Return the process ids of the workers of a run, whose folder no other test uses."""
    found = subprocess.run(
        ["pgrep", "-f", f"imgcls train .* --run {folder}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    commands = {
        int(pid): Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        for pid in found.split()
    }
    return [pid for pid, words in commands.items() if "python" in words[0]]


@pytest.mark.full
def test_a_slurm_job_that_is_out_of_time_is_put_back_into_the_queue_and_finishes(
    environment, spread, workspace
):
    command = [SCRIPTS / "train.sbatch", spread, workspace / "slurm"]
    job = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for_a_step_inside_an_epoch(job, workspace / "slurm")
    for pid in workers_of(workspace / "slurm"):
        os.kill(pid, signal.SIGUSR1)  # as Slurm does, to every task
    _, stderr = job.communicate(timeout=60)
    assert job.returncode == 75, stderr
    assert (workspace / "requeued").read_text() == f"requeue {environment['SLURM_JOB_ID']}\n"
    result = subprocess.run(
        [*command, "--set", "train.steps_per_execution=16"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "finished" in result.stdout
    assert (workspace / "requeued").read_text().count("requeue") == 1


@pytest.mark.full
def test_a_slurm_job_in_which_one_worker_alone_fails_is_not_put_back(
    environment, spread, workspace
):
    """The second worker gets another experiment, because its copy of the store is missing: it ends
    with 3, the first one with 75.
    """
    srun = (workspace / "bin" / "srun").read_text()
    (workspace / "bin" / "srun").write_text(
        srun.replace(
            '"$@" & pids', '"$@" $([ $rank = 1 ] && echo --set data.store_dir=nowhere) & pids'
        )
    )
    job = subprocess.Popen(
        [SCRIPTS / "train.sbatch", spread, workspace / "slurm"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (workspace / "slurm" / "status.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(8)  # by now the second worker has ended, and the first one waits for it
    for pid in workers_of(workspace / "slurm"):
        os.kill(pid, signal.SIGTERM)
    _, stderr = job.communicate(timeout=60)
    assert job.returncode == 3, stderr
    assert "SIGTERM while waiting for the other workers" in stderr
    assert not (workspace / "requeued").exists()


def test_a_slurm_job_whose_experiment_is_wrong_is_not_put_back(environment, spread, workspace):
    result = subprocess.run(
        [SCRIPTS / "train.sbatch", spread, workspace / "slurm", "--set", "train.epochs=0"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert not (workspace / "requeued").exists()


@pytest.mark.full
def test_over_ssh_all_workers_start_again_when_one_was_killed(environment, spread, workspace):
    command = [SCRIPTS / "train_over_ssh.sh", spread, workspace / "ssh"]
    json_of("prepare", spread)
    script = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for_a_step_inside_an_epoch(script, workspace / "ssh")
    os.kill(workers_of(workspace / "ssh")[-1], signal.SIGKILL)
    stdout, stderr = script.communicate(timeout=120)
    assert script.returncode == 0, stderr
    assert "attempt 1 ended with exit code 137; restarting all workers" in stderr
    assert "finished" in stdout


@pytest.mark.full
def test_a_signal_to_the_ssh_script_saves_and_stops_all_workers(environment, spread, workspace):
    json_of("prepare", spread)
    command = [
        SCRIPTS / "train_over_ssh.sh",
        spread,
        workspace / "ssh",
        "--set",
        "train.epochs=1000",
    ]
    script = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for_a_step_inside_an_epoch(script, workspace / "ssh")
    script.send_signal(signal.SIGTERM)
    _, stderr = script.communicate(timeout=60)
    assert script.returncode == 75, stderr
    status = Run(workspace / "ssh").status
    assert (status.status, status.exit_code) == ("interrupted", 75)
