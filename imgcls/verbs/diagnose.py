"""The verb `doctor`: checks training on several devices, and measures determinism. Light zone.

It trains a small network on digits in separate processes: on one and two devices, with and without
deterministic kernels.
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
"""The largest difference allowed between float64 weights of one and two devices. Rounding gives
some 1e-15, wrong gradients much more.
"""
EPOCHS, ROUNDS = 2, 7
TWO = {"name": "mirrored", "replicas": 2}


def diagnose(precision: str = "float32") -> dict[str, Any]:
    """Compare one with two devices, and measure the cost of determinism.

    Args:
        precision: a value of `train.precision`, which is checked in addition to float64.

    Returns:
        The report for `format_report`.

    Raises:
        GateError: the float64 weights of one and two devices differ; its `result` is the report.
        UserError: the precision does not exist, or a training process failed.
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
    """Format the result of `diagnose` as text."""
    state = "ok" if found["float64_difference"] <= LARGEST_DIFFERENCE else "FAILED"
    return format_pairs(
        {
            **found["versions"],
            "devices": ", ".join(found["devices"]),
            "self-check": f"weights on one device and on {found['checked_on']} differ by",
            "  float64": (
                f"{found['float64_difference']:.1e} ({state}, limit {LARGEST_DIFFERENCE:g})"
            ),
            f"  {found['precision']}": (
                f"{found['precision_difference']:.1e} (expected: sums are rounded in another order)"
            ),
            "determinism": (
                f"training steps take {found['determinism_cost']:.2f} times as long as without it"
                f" ({found['precision']})"
            ),
        }
    )


def _require_equal_devices(found: dict[str, Any]) -> None:
    if not found["float64_difference"] <= LARGEST_DIFFERENCE:
        raise GateError(
            f"weights trained on one and two devices differ by {found['float64_difference']:.1e} in"
            f" float64, more than rounding explains ({LARGEST_DIFFERENCE:g}); do not train on"
            " several devices of this machine until its drivers or TensorFlow are fixed",
            found,
        )


def _prepare_data(folder: Path, precision: str) -> None:
    """Prepare the digits; an unknown precision is an error here."""
    path = _write_experiment(folder, "first")
    experiment = read_experiment(path, [f"train.precision={precision}"])
    with terminal.silence():
        prepare.prepare(experiment)


def _list_devices() -> tuple[list[str], list[str]]:
    """Return the names of the GPUs, and descriptions of all devices."""
    from imgcls.backend import tf

    gpus = tf.config.list_physical_devices("GPU")
    described = [
        str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name))
        for gpu in gpus
    ]
    return [gpu.name for gpu in gpus], [*described, f"{environment.count_cores()} CPU cores"]


def _write_experiment(folder: Path, name: str, **train: Any) -> Path:
    """Write an experiment with batch norm and an L2 penalty, and without dropout.

    Batch norm and the penalty differ if devices are not synchronized; dropout masks always do.
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
    """Return the largest absolute difference of weights between one and two devices."""
    import numpy

    paths = [
        _write_experiment(folder, f"{precision}-{devices}", precision=precision, **settings)
        for devices, settings in ((1, {}), (2, {"strategy": TWO}))
    ]
    trained = []
    for path in paths:
        with start_probe(path, folder / path.stem, variables=variables) as send:
            for _ in range(EPOCHS):
                send("epoch")
            with numpy.load(send(str(path.with_suffix(".npz")))) as weights:
                trained.append([weights[key] for key in weights.files])
    return max(float(numpy.abs(one - two).max()) for one, two in zip(*trained, strict=True))


def _measure_determinism_cost(folder: Path, precision: str) -> float:
    """Return the median time of deterministic steps, relative to other steps."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    with contextlib.ExitStack() as stack:
        probes = {}
        for deterministic in seconds:
            path = _write_experiment(
                folder,
                f"deterministic-{deterministic}",
                precision=precision,
                deterministic=deterministic,
            )
            probes[deterministic] = stack.enter_context(start_probe(path, folder / path.stem))
        for send in probes.values():
            send("epoch")  # a warm-up, which compiles the steps
        for _ in range(ROUNDS):
            for deterministic, send in probes.items():
                seconds[deterministic].append(send("epoch")["stage_seconds"]["steps"])
    return statistics.median(seconds[True]) / statistics.median(seconds[False])
