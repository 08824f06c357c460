"""The verb `doctor`: can the numbers of this machine be trusted, and what does that cost? Light
zone.

It trains a small network on real digits, in processes of their own: on one device and on two, with
and without deterministic kernels.
"""

import contextlib
import statistics
import tempfile
from pathlib import Path
from typing import Any

from imgcls import environment
from imgcls.errors import GateError
from imgcls.experiment_file import read_experiment
from imgcls.io import terminal, yaml_file
from imgcls.report.tables import format_pairs
from imgcls.training.probe import start_probe
from imgcls.verbs import prepare

LARGEST_DIFFERENCE = 1e-12
"""Between the float64 weights of one and two devices: rounding leaves some 1e-15, a wrong gradient
much more.
"""
EPOCHS, ROUNDS = 2, 7
TWO = {"name": "mirrored", "replicas": 2}


def diagnose(precision: str = "float32") -> dict[str, Any]:
    """Return what this machine has, how far one and two devices differ, and what determinism costs.

    Args:
        precision: a value of `train.precision`, checked beside float64.

    Raises:
        GateError: one and two devices do not train to the same weights; `result` is what would
            have been returned.
        UserError: there is no such precision, or a training process failed.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _prepare_data(folder, precision)
        gpus, devices = _list_devices()
        hidden = {} if len(gpus) >= 2 else {"CUDA_VISIBLE_DEVICES": "-1"}
        differences = {
            each: _measure_difference(folder, each, hidden)
            for each in dict.fromkeys(("float64", precision))
        }
        found = {
            "versions": environment.get_versions(),
            "devices": devices,
            "checked_on": "two GPUs" if len(gpus) >= 2 else "two logical devices of the CPU",
            "precision": precision,
            "float64_difference": differences["float64"],
            "precision_difference": differences[precision],
            "largest_difference_allowed": LARGEST_DIFFERENCE,
            "determinism_cost": _measure_determinism_cost(folder, precision),
        }
    _require_equal_devices(found)
    return found


def format_report(found: dict[str, Any]) -> str:
    """Return what `diagnose` found, for people."""
    state = "as it should be" if found["float64_difference"] <= LARGEST_DIFFERENCE else "TOO MUCH"
    return format_pairs(
        {
            **found["versions"],
            "devices": ", ".join(found["devices"]),
            "self-check": f"weights on one device and on {found['checked_on']} differ by",
            "  float64": (
                f"{found['float64_difference']:.1e}, {state}: at most {LARGEST_DIFFERENCE:g} is"
                " allowed"
            ),
            f"  {found['precision']}": (
                f"{found['precision_difference']:.1e}, from rounding in another order"
            ),
            "determinism": (
                f"a training step takes {found['determinism_cost']:.2f} times the time that it"
                f" takes without ({found['precision']})"
            ),
        }
    )


def _require_equal_devices(found: dict[str, Any]) -> None:
    if not found["float64_difference"] <= LARGEST_DIFFERENCE:
        raise GateError(
            f"one and two devices differ by {found['float64_difference']:.1e} in float64, where at"
            f" most {LARGEST_DIFFERENCE:g} comes from rounding: do not train on several devices of"
            " this machine before its drivers and TensorFlow are in order",
            found,
        )


def _prepare_data(folder: Path, precision: str) -> None:
    """Prepare the digits; this is where an unknown precision is found."""
    path = _write_experiment(folder, "first")
    experiment = read_experiment(path, [f"train.precision={precision}"])
    with terminal.silence():
        prepare.prepare(experiment)


def _list_devices() -> tuple[list[str], list[str]]:
    """Return the GPUs by name, and all devices with their memory where it is known."""
    from imgcls.backend import tf

    gpus = tf.config.list_physical_devices("GPU")
    described = [
        str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name))
        for gpu in gpus
    ]
    return [gpu.name for gpu in gpus], [*described, f"{environment.count_cores()} CPU cores"]


def _write_experiment(folder: Path, name: str, **train: Any) -> Path:
    """Write the small experiment: batch norm and a penalty, which differ where devices do not work
    together, and no dropout.
    """
    content = {
        "name": "doctor",
        "data": {"name": "digits", "store_dir": str(folder / "data")},
        "model": {
            "name": "cnn",
            "filters": [16, 32],
            "dense": [64],
            "batch_norm": True,
            "dropout": 0.0,
            "l2": 1e-4,
        },
        "train": {
            "epochs": 1 + EPOCHS + ROUNDS,
            "batch_size": 128,
            "optimizer": {"name": "sgd", "learning_rate": 0.05},
            **train,
        },
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml_file.dump(content), encoding="utf-8")
    return path


def _measure_difference(folder: Path, precision: str, variables: dict[str, str]) -> float:
    """Return the largest absolute difference between the weights after two epochs on one device and
    on two.
    """
    import numpy

    paths = [
        _write_experiment(folder, f"{precision}-{len(more) + 1}", precision=precision, **more)
        for more in ({}, {"strategy": TWO})
    ]
    found = []
    for path in paths:
        with start_probe(path, folder / path.stem, variables=variables) as tell:
            for _ in range(EPOCHS):
                tell("epoch")
            with numpy.load(tell(str(path.with_suffix(".npz")))) as weights:
                found.append([weights[key] for key in weights.files])
    return max(float(numpy.abs(one - two).max()) for one, two in zip(*found, strict=True))


def _measure_determinism_cost(folder: Path, precision: str) -> float:
    """Return the time of a deterministic step over that of another, medians of epochs in turns."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    with contextlib.ExitStack() as stack:
        probes = {}
        for wanted in seconds:
            path = _write_experiment(
                folder, f"deterministic-{wanted}", precision=precision, deterministic=wanted
            )
            probes[wanted] = stack.enter_context(start_probe(path, folder / path.stem))
        for tell in probes.values():
            tell("epoch")  # which compiles
        for _ in range(ROUNDS):
            for wanted, tell in probes.items():
                seconds[wanted].append(tell("epoch")["stage_seconds"]["steps"])
    return statistics.median(seconds[True]) / statistics.median(seconds[False])
