"""The verb `doctor`: checks training on CPU, GPUs and several devices. Light zone.

It trains a small network on digits in separate processes: on the CPU and on a GPU, on one and on
two devices, and with and without deterministic kernels.
"""

import contextlib
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imgcls import environment
from imgcls.device import usable
from imgcls.errors import GateError
from imgcls.experiment_file import read_experiment
from imgcls.io import terminal, yaml_file
from imgcls.report.tables import format_pairs, format_table
from imgcls.training.process import start_process, train_in_process
from imgcls.verbs import prepare

EPOCHS, ROUNDS = 2, 7
HIDE_GPUS = {"CUDA_VISIBLE_DEVICES": "-1"}


@dataclass(frozen=True)
class Setup:
    """Devices to train on.

    Attributes:
        name: for people.
        variables: environment variables of the process.
        train: settings of the section `train`.
    """

    name: str
    variables: Mapping[str, str] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DevicePair:
    """Two setups that must train the same weights.

    Attributes:
        limit: the largest difference allowed in float64.
    """

    first: Setup
    second: Setup
    limit: float

    @property
    def name(self) -> str:
        """Both setups, for people."""
        return f"{self.first.name} and {self.second.name}"


CPU = Setup("CPU", HIDE_GPUS)
TWO_CPUS = Setup(
    "two logical devices", HIDE_GPUS, {"strategy": {"name": "mirrored", "replicas": 2}}
)
GPU = Setup("GPU")
TWO_GPUS = Setup("two GPUs", {}, {"strategy": {"name": "mirrored", "replicas": 2}})
LIMIT_OF_DEVICES = 1e-12
"""For one and two devices, which only add up two halves of each sum in another order. Rounding
gives some 1e-15, wrong gradients much more.
"""
LIMIT_OF_KERNELS = 1e-10
"""For CPU and GPU, whose kernels add up all terms of a sum in another order. The longest sum, a
gradient of the first kernel, has 8,192 terms (128 images of 8x8): in the worst case, its relative
error is 8,192 * 1.1e-16, some 1e-12, in each of 22 steps. A single operation that computes in
float32 leaves some 1e-7, TF32 more.
"""


def diagnose(
    precision: str = "float32", comparisons: Sequence[DevicePair] | None = None
) -> dict[str, Any]:
    """Compare what devices train, and measure the cost of determinism.

    Args:
        precision: a value of `train.precision`, which is checked in addition to float64.
        comparisons: what to compare; unless given, CPU and GPU, and one and two devices.

    Returns:
        The report for `format_report`.

    Raises:
        GateError: the float64 weights of a comparison differ; its `result` is the report.
        UserError: the precision does not exist, a training process failed, or TensorFlow cannot use
            a GPU that is there.
    """
    gpus, runtime = len(usable.list_usable_gpus()), environment.read_runtime()
    if comparisons is None:
        comparisons = list_comparisons(gpus)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _prepare_data(folder, precision)
        precisions = tuple(dict.fromkeys(("float64", precision)))
        found = {
            "versions": runtime.versions,
            "libraries": runtime.libraries,
            "driver": runtime.driver,
            "devices": _describe_devices(),
            "precision": precision,
            "comparisons": _compare(folder, comparisons, precisions),
            "not_compared": [] if gpus else ["CPU and GPU: there is no GPU here"],
            "determinism_cost": _measure_determinism_cost(folder, precision),
        }
    _require_equal_weights(found)
    return found


def list_comparisons(gpus: int) -> list[DevicePair]:
    """Return what can be compared on a machine with a number of GPUs."""
    found = [DevicePair(CPU, GPU, LIMIT_OF_KERNELS)] if gpus else []
    one, two = (GPU, TWO_GPUS) if gpus > 1 else (CPU, TWO_CPUS)
    return [*found, DevicePair(one, two, LIMIT_OF_DEVICES)]


def format_report(found: dict[str, Any]) -> str:
    """Format the result of `diagnose` as text."""
    rows = [
        {
            "compared weights": each["between"],
            "precision": each["precision"],
            "difference": f"{each['difference']:.1e}",
            "at most": "-" if each["limit"] is None else f"{each['limit']:g}",
            "result": each["result"],
        }
        for each in found["comparisons"]
    ]
    cost = (
        f"training steps take {found['determinism_cost']:.2f} times as long as without it"
        f" ({found['precision']})"
    )
    pairs = {
        **found["versions"],
        **found["libraries"],
        "driver": found["driver"] or "-",
        "devices": "; ".join(found["devices"]),
        "determinism": cost,
    }
    lines = [f"not compared: {each}" for each in found["not_compared"]]
    return "\n".join([format_pairs(pairs), "", format_table(rows), *lines])


def _require_equal_weights(found: dict[str, Any]) -> None:
    failed = [each for each in found["comparisons"] if each["result"] == "FAILED"]
    if failed:
        differences = " and ".join(
            f"weights trained on {each['between']} differ by {each['difference']:.1e} in"
            f" {each['precision']}, more than rounding explains ({each['limit']:g})"
            for each in failed
        )
        raise GateError(
            f"{differences}; do not train on these devices of this machine until its drivers or"
            " TensorFlow are fixed",
            found,
        )


def _prepare_data(folder: Path, precision: str) -> None:
    """Prepare the digits; an unknown precision is an error here."""
    path = _write_experiment(folder, "first")
    experiment = read_experiment(path, [f"train.precision={precision}"])
    with terminal.silence():
        prepare.prepare(experiment)


def _describe_devices() -> list[str]:
    gpus = map(str, usable.list_usable_gpus())
    return [*gpus, f"{environment.count_cores()} CPU cores"]


def _write_experiment(folder: Path, name: str, **train: Any) -> Path:
    """Write an experiment with batch norm, dropout and an L2 penalty.

    These differ if devices are not synchronized.
    """
    content = {
        "name": "doctor",
        "data": {"name": "digits", "store_dir": str(folder / "data")},
        "model": {
            "name": "cnn",
            "filters": [16, 32],
            "dense": [64],
            "batch_norm": True,
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


def _compare(
    folder: Path, comparisons: Sequence[DevicePair], precisions: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the largest absolute difference of weights of each comparison in each precision.

    Only that in float64 is limited: in others, training amplifies rounding.
    """
    setups = {each.name: each for one in comparisons for each in (one.first, one.second)}
    compared = []
    for precision in precisions:
        weights = {name: _train(folder, setup, precision) for name, setup in setups.items()}
        for each in comparisons:
            difference = measure_difference(weights[each.first.name], weights[each.second.name])
            limit = each.limit if precision == "float64" else None
            compared.append(
                {
                    "between": each.name,
                    "precision": precision,
                    "difference": difference,
                    "limit": limit,
                    "result": _format_result(difference, limit),
                }
            )
    return compared


def measure_difference(one: Sequence[Any], other: Sequence[Any]) -> float:
    """Return the largest absolute difference of two lists of arrays; NaN if one has NaN."""
    import numpy

    # numpy's maximum: Python's may pass over NaN.
    return float(numpy.max([abs(a - b).max() for a, b in zip(one, other, strict=True)]))


def _format_result(difference: float, limit: float | None) -> str:
    if limit is None:
        return "rounding"
    return "ok" if difference <= limit else "FAILED"


def _train(folder: Path, setup: Setup, precision: str) -> list[Any]:
    """Return the weights that a setup has trained."""
    name = f"{precision}-{setup.name.replace(' ', '-')}"
    path = _write_experiment(folder, name, precision=precision, **setup.train)
    weights, _ = train_in_process(path, folder / name, EPOCHS, dict(setup.variables))
    return weights


def _measure_determinism_cost(folder: Path, precision: str) -> float:
    """Return the median time of deterministic steps, relative to other steps."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    with contextlib.ExitStack() as stack:
        processes = {}
        for deterministic in seconds:
            path = _write_experiment(
                folder,
                f"deterministic-{deterministic}",
                precision=precision,
                deterministic=deterministic,
            )
            processes[deterministic] = stack.enter_context(start_process(path, folder / path.stem))
        for send in processes.values():
            send("epoch")  # a warm-up, which compiles the steps
        for _ in range(ROUNDS):
            for deterministic, send in processes.items():
                seconds[deterministic].append(send("epoch")["stage_seconds"]["steps"])
    return statistics.median(seconds[True]) / statistics.median(seconds[False])
