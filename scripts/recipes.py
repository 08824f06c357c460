"""Trains the experiments of configs/, and compares their test accuracy with what is recorded.

    python scripts/recipes.py check [--long] [--data FOLDER]
    python scripts/recipes.py record NAME --seeds N [--data FOLDER]

A recipe is a file configs/NAME.yaml; configs/NAME.json beside it has its results, and the last line
of its header says them in words. `record` trains a run for each seed, evaluates them on the test
split, and writes both. `check` trains each recorded recipe again: exit code 6 if a mean is further
from the recorded one than three standard deviations.

Ctrl-C or SIGTERM saves the state of the training, and ends with exit code 75: the same command
again continues with the same runs, after days too. Runs that are trained, but not evaluated yet,
are not trained again.
"""

import argparse
import contextlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from imgcls.config import Experiment
from imgcls.errors import GateError, Interrupted
from imgcls.evaluation.families import list_evaluated_splits
from imgcls.experiment_file import read_experiment
from imgcls.family import Members, find_families
from imgcls.io import files, terminal
from imgcls.io.records import Record, read_record, to_json
from imgcls.run import Run
from imgcls.training.model_weights import count_parameters

CONFIGS = Path(__file__).parent.parent / "configs"
EXPECTED = "# Expected: "
NOT_MEASURED = "not yet measured"
LONG_SECONDS = 600
"""The training time of all seeds above which a recipe is left to `make recipes-long`."""
TOLERANCE = 3
"""The standard deviations by which a mean may differ."""


class RecipeResult(Record):
    """The measured results of a recipe."""

    seeds: list[int]
    """The seed of each run; all runs share one split."""
    test_accuracy: Annotated[list[float], Field(min_length=1)]
    """The test accuracy of each run, 0..1."""
    val_accuracy: list[float]
    """The validation accuracy of the selected weights of each run, 0..1."""
    mean: float
    """The mean of `test_accuracy`."""
    std: float | None
    """Its standard deviation, with n - 1; null for one run."""
    seconds: list[float]
    """The time of all epochs of each run, in seconds."""
    parameters: int
    """The number of weights of the model."""
    processor: str
    """Processor model, with the number of cores that were used."""
    versions: dict[str, str]
    """Versions of the packages that can change a result."""
    commit: str
    """The git commit of imgcls that trained the first run."""
    date: str
    """When training of the first run started, UTC, ISO 8601."""
    command: str
    """The command that trains these runs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    options = _parse(arguments)
    if options.action == "record":
        _record(options.name, options.seeds, options.data)
        return 0
    return _check(options.long, options.data)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    actions = parser.add_subparsers(dest="action", required=True)
    check = actions.add_parser("check", help="train the recorded recipes again, and compare")
    check.add_argument("--long", action="store_true", help="those that take long, not the others")
    record = actions.add_parser("record", help="train a recipe, and write its results")
    record.add_argument("name", help="such as digits, for configs/digits.yaml")
    record.add_argument("--seeds", type=int, required=True, help="number of runs")
    for each in (check, record):
        each.add_argument("--data", type=Path, help="folder with the files of Fashion-MNIST")
    return parser.parse_args(arguments)


def list_recipes() -> list[Path]:
    """Return the experiment files of configs/, by name."""
    return sorted(CONFIGS.glob("*.yaml"))


def read_result(config: Path) -> RecipeResult | None:
    """Return the recorded results of a recipe; None if there are none.

    Raises:
        DataError: the file is damaged.
    """
    path = config.with_suffix(".json")
    advice = f"restore it, or run python scripts/recipes.py record {config.stem}"
    return read_record(path, RecipeResult, advice) if path.exists() else None


def format_expected(result: RecipeResult) -> str:
    """Return what the header of a recipe says of its results."""
    count = len(result.seeds)
    spread = "" if result.std is None else f" ± {result.std:.4f}"
    low, high = min(result.seconds), max(result.seconds)
    time = _format_time(low)
    if _format_time(high) != time:
        time = f"{time} to {_format_time(high)}"
    return (
        f"test accuracy {result.mean:.4f}{spread} (n = {count}), {time} of training a seed, on"
        f" {result.processor}."
    )


def _format_time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def insert_expected(text: str, expected: str) -> str:
    """Return the text of an experiment file whose header says the expected result."""
    return re.sub(f"^{EXPECTED}.*$", lambda _: EXPECTED + expected, text, count=1, flags=re.M)


def is_within_tolerance(mean: float, recorded: RecipeResult) -> bool:
    """Return whether a mean accuracy is within three standard deviations of the recorded one.

    Without a recorded standard deviation, which needs two runs, the means must be equal.
    """
    return abs(mean - recorded.mean) <= TOLERANCE * (recorded.std or 0.0) + 1e-9


def _check(long: bool, data: Path | None) -> int:
    failed = []
    for config in list_recipes():
        recorded = read_result(config)
        if recorded is None:
            print(f"{config.stem}: {NOT_MEASURED}", file=sys.stderr)
            continue
        if (sum(recorded.seconds) > LONG_SECONDS) != long:
            continue
        found = _train(config, recorded.seeds, data)
        passed = is_within_tolerance(found.mean, recorded)
        print(
            f"{config.stem}: test accuracy {found.mean:.4f}, recorded {recorded.mean:.4f} ±"
            f" {recorded.std or 0:.4f} (n = {len(recorded.seeds)}): {'ok' if passed else 'FAILED'}"
        )
        failed += [] if passed else [config.stem]
    if failed:
        print(
            f"further than {TOLERANCE} standard deviations from what is recorded:"
            f" {', '.join(failed)}",
            file=sys.stderr,
        )
    return GateError.exit_code if failed else 0


def _record(name: str, count: int, data: Path | None) -> None:
    config = CONFIGS / f"{name}.yaml"
    first = read_experiment(config).seed
    result = _train(config, list(range(first, first + count)), data)
    files.write_text(config.with_suffix(".json"), to_json(result, indent=2) + "\n")
    files.write_text(config, insert_expected(config.read_text(), format_expected(result)))
    print(f"{name}: {format_expected(result)}")


def _train(config: Path, seeds: list[int], data: Path | None) -> RecipeResult:
    """Prepare the data, train a run for each seed or continue, and evaluate them on test."""
    settings = []
    if data and read_experiment(config).data.name == "fashion_mnist":
        settings = [f"data.path={data}"]
    overrides = [word for each in settings for word in ("--set", each)]
    path = str(config.relative_to(Path.cwd()))
    _run("prepare", path, *overrides)
    train = ["train", path, "--seeds", ",".join(map(str, seeds))]
    folder = find_unevaluated(read_experiment(config, settings), seeds)
    summary = _run(*train, *overrides, *(["--run", str(folder)] if folder else []))
    spread = _run("eval", summary["family"])["spreads"]["accuracy"]
    run = Run(Path(summary["runs"][0]["run"]))
    current = run.environment
    start = [*current.earlier_starts, current][0]
    return RecipeResult(
        seeds=seeds,
        test_accuracy=spread["values"],
        val_accuracy=[each["val_accuracy"] for each in summary["runs"]],
        mean=spread["mean"],
        std=spread["std"],
        seconds=[round(each["seconds"], 1) for each in summary["runs"]],
        parameters=count_parameters(run.model_file),
        processor=f"{start.cores} cores of an {start.processor}",
        versions=start.versions,
        commit=start.git.commit if start.git else "",
        date=start.started,
        command=" ".join(["imgcls", *train]),
    )


def find_unevaluated(experiment: Experiment, seeds: list[int]) -> Path | None:
    """Return the folder of the newest family of an experiment, if it has these seeds and settings,
    and was not evaluated on the test split; None otherwise.

    `imgcls train` by itself continues with runs that are not finished, but would train new ones
    after an interruption of the evaluation.
    """
    for family in find_families(experiment.name)[-1:]:
        with terminal.note_unusable():
            is_same = family.experiment.identity() == experiment.identity()
            if family.members != Members("seed", seeds) or not is_same:
                continue
            if "test" not in list_evaluated_splits(family):
                terminal.note(f"continuing {family.folder}; remove it to train new runs")
                return family.folder
    return None


def _run(*arguments: str) -> Any:
    """Run a command of imgcls; return what it prints with --json. Ends this process if it fails.

    SIGTERM comes to this process alone, so it is passed on, once, since the second signal would
    stop the training before it has saved its state. A terminal sends its SIGINT to both.
    """
    command = [sys.executable, "-m", "imgcls.cli", *arguments, "--json"]
    output, passed_on = None, False
    with _catch_stop_signals() as received:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        while output is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                output, _ = process.communicate(timeout=0.5)
            if signal.SIGTERM in received and not passed_on:
                process.send_signal(signal.SIGTERM)
                passed_on = True
    if received:
        print("interrupted; run the same command again to continue", file=sys.stderr)
        sys.exit(Interrupted.exit_code)
    if process.returncode:
        sys.exit(process.returncode)
    return json.loads(output)


@contextlib.contextmanager
def _catch_stop_signals() -> Iterator[list[int]]:
    """Collect the numbers of SIGINT and SIGTERM while the block runs, instead of ending."""
    received: list[int] = []
    previous = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
