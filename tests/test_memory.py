"""What happens when memory runs out, under a real limit on what TensorFlow may allocate.

oneDNN's kernels crash where an allocation is refused (TensorFlow 2.21), so they are off here; a
refused allocation is tried again for ten seconds, so all commands run side by side.
"""

import json
import os
import subprocess
import sys
import threading

import pytest
from experiments import free_addresses, json_of, write_experiment

from imgcls.backend import tf
from imgcls.run import Run
from imgcls.training.micro_batches import is_out_of_memory

CONTENT = {
    "name": "large",
    "data": {"name": "digits"},
    "model": {"name": "cnn", "filters": [256], "dense": [32], "dropout": 0.0},
    "train": {"epochs": 1, "batch_size": 1024, "steps_per_execution": 2},
}
"""A batch of 1,024 images takes 64 MiB behind the convolution."""
ONE_IMAGE = (
    "model.filters=[100000]",
    "model.pooling=8",
    "model.dense=[]",
    "train.batch_size=2",
    "train.optimizer={name: sgd, momentum: 0.0}",
)
"""One image takes 24 MiB behind the convolution, the weights 6."""


def run_limited(mebibytes, *arguments):
    """Run a command with a limit on TensorFlow's memory; return exit code, stdout and stderr."""
    limits = {
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "TF_CPU_ALLOCATOR_USE_BFC": "true",
        "TF_CPU_BFC_MEM_LIMIT_IN_MB": str(mebibytes),
    }
    command = [sys.executable, "-m", "imgcls.cli", *map(str, arguments)]
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, **limits},
        timeout=300,
        check=False,
    )
    return result.returncode, result.stdout, result.stderr


def side_by_side(commands):
    """Run several limited commands at once; return their results by name."""
    results = {}
    threads = [
        threading.Thread(
            target=lambda name=name, command=command: results.update({name: run_limited(*command)})
        )
        for name, command in commands.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def train(folder, name, *overrides):
    """Return a command that trains the experiment of a folder into a run of this name."""
    changes = [word for override in overrides for word in ("--set", override)]
    return ("train", folder / "experiment.yaml", "--run", folder / name, *changes)


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """The folder of the runs, and what each command ended with."""
    folder = tmp_path_factory.mktemp("limited")
    content = {**CONTENT, "data": {"name": "digits", "store_dir": str(folder / "data")}}
    path = write_experiment(folder, content)
    json_of("prepare", path)

    results = side_by_side(
        {
            "one": (100, *train(folder, "one")),
            "mirrored": (
                100,
                *train(
                    folder,
                    "mirrored",
                    "train.strategy={name: mirrored, replicas: 2}",
                    "model.batch_norm=true",
                ),
            ),
            "image": (40, *train(folder, "image", *ONE_IMAGE)),
            "model": (5, *train(folder, "model", *ONE_IMAGE)),
        }
    )
    return folder, results


@pytest.mark.full
@pytest.mark.parametrize("name", ["one", "mirrored"])
def test_training_halves_the_micro_batch_until_it_fits_and_says_so(limited, name):
    folder, results = limited
    exit_code, _, stderr = results[name]
    assert exit_code == 0, stderr
    message = "note: out of memory after step 0; continuing from step 0 with micro-batches of "
    assert message in stderr
    status = Run(folder / name).status
    assert status.status == "finished"
    assert status.accumulation_steps > 1


@pytest.mark.full
def test_a_note_says_that_batch_norm_sees_micro_batches(limited):
    folder, results = limited
    number = Run(folder / "mirrored").status.accumulation_steps
    assert (
        f"note: batches of 1024 images are divided into {number} micro-batches, and model cnn has"
        " batch norm" in results["mirrored"][2]
    )
    assert "batch norm" not in results["one"][2]


@pytest.mark.full
def test_micro_batches_do_not_change_the_loss(limited):
    folder, _ = limited
    json_of("train", folder / "experiment.yaml", "--run", folder / "whole")
    assert Run(folder / "one").log[0].loss == pytest.approx(
        Run(folder / "whole").log[0].loss, rel=1e-5
    )


@pytest.mark.full
def test_the_exit_code_is_5_if_one_image_does_not_fit(limited):
    folder, results = limited
    exit_code, _, stderr = results["image"]
    assert exit_code == 5, stderr
    assert (
        "imgcls: out of memory with one image at a time (OOM when allocating tensor with"
        " shape[1,8,8,100000]" in stderr
    )
    assert "use a smaller model or data.size" in stderr
    status = Run(folder / "image").status
    assert (status.status, status.exit_code, status.accumulation_steps) == ("failed", 5, 2)
    assert [path.name for path in Run(folder / "image").state_files()] == ["state-0.npz"]


@pytest.mark.full
def test_the_exit_code_is_5_if_the_model_does_not_fit(limited):
    folder, results = limited
    exit_code, _, stderr = results["model"]
    assert exit_code == 5, stderr
    assert "imgcls: out of memory while building the model" in stderr
    assert Run(folder / "model").status.exit_code == 5


@pytest.mark.full
def test_a_worker_that_runs_out_of_memory_makes_all_use_smaller_micro_batches_at_the_next_start(
    limited,
):
    folder, _ = limited
    spread = (
        *train(folder, "spread", "train.strategy={name: multi_worker}"),
        "--workers",
        ",".join(free_addresses(2)),
        "--rank",
    )
    both = {"rank 0": (2000, *spread, 0), "rank 1": (60, *spread, 1)}
    results = side_by_side(both)
    assert [results[name][0] for name in both] == [75, 75], results
    assert (
        "start all workers again with the same commands to continue with micro-batches of 256"
        in results["rank 1"][2]
    )
    again = side_by_side(both)
    assert [again[name][0] for name in both] == [0, 0], again
    status = Run(folder / "spread").status
    assert (status.status, status.accumulation_steps) == ("finished", 2)
    assert (
        json.loads((folder / "spread" / "environment.json").read_text())["variables"][
            "TF_ENABLE_ONEDNN_OPTS"
        ]
        == "0"
    )


@pytest.mark.full
def test_eval_halves_its_batches_and_gives_the_same_metrics(limited):
    folder, _ = limited
    exit_code, _, stderr = run_limited(60, "eval", folder / "one")
    assert exit_code == 0, stderr
    assert "note: out of memory; predicting again in batches of 512" in stderr
    halved = json.loads(Run(folder / "one").metrics_file("test").read_text())["metrics"]
    Run(folder / "one").predictions_file("test").unlink()
    whole = json_of("eval", folder / "one")["metrics"]
    for name in ("accuracy", "log_loss", "brier"):
        assert halved[name] == pytest.approx(whole[name], rel=1e-5)


ABORTED = tf.errors.AbortedError(
    None, None, "Collective ops is aborted by: OOM when allocating tensor with shape[128,512]"
)


def test_a_replica_that_stops_because_another_is_out_of_memory_counts_as_out_of_memory():
    assert is_out_of_memory(ABORTED, is_single=True)
    assert not is_out_of_memory(ABORTED, is_single=False)
    lost = tf.errors.UnavailableError(None, None, "Collective ops is aborted by: peer is gone")
    assert not is_out_of_memory(lost, is_single=True)
