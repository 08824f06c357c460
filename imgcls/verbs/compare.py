"""The verb `compare`: compares runs and families on the same images. Light zone.

It runs the verb `evaluate` where predictions are missing.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from imgcls.comparison import gates, measure, metric_values, page, same_images
from imgcls.comparison.candidate import Candidate, PredictedCandidate
from imgcls.comparison.record import Comparison
from imgcls.config import Evaluate
from imgcls.datasets import SplitName
from imgcls.errors import UserError
from imgcls.evaluation import families, predictions, predictor
from imgcls.evaluation.predictions import Predictions
from imgcls.family import Family
from imgcls.io import files, numbered_folders, terminal
from imgcls.io.records import write_record
from imgcls.run import RUNS, Run
from imgcls.run_lookup import find_run_or_family
from imgcls.split.split_name import parse_split_name
from imgcls.verbs import evaluate

COMPARISONS = RUNS / "comparisons"
"""The folder of all comparisons, each in one with a number for its name."""


def compare(
    targets: Sequence[Path],
    split_name: str = "test",
    fail_if_worse: Mapping[str, float] = {},
    output: Path | None = None,
    overrides: Sequence[str] = (),
) -> Comparison:
    """Compare runs with the first of them, and write comparison.json, a page and its figures.

    Args:
        targets: folders of runs and families, or experiment files for their newest finished runs.
        split_name: train, validation or test.
        fail_if_worse: the largest loss allowed of each metric.
        output: the folder to write to; None for `runs/comparisons/<next number>`.
        overrides: `a.b=value`, for settings that do not affect training.

    Returns:
        The content of comparison.json.

    Raises:
        GateError: a metric lost more than allowed. All files are written, and the error's `result`
            is the comparison.
        UserError: there are fewer than two runs, or a name or value is wrong.
        DataError: a run is not finished, the runs were not evaluated on the same images, or a run
            has no predictions, and its store is missing or changed.
    """
    candidates = _open_all(targets, overrides)
    settings = candidates[0].experiment.evaluate
    plan = metric_values.plan_metrics(settings, fail_if_worse)
    gates.require_valid(fail_if_worse, plan.directions)
    split = _parse_split(candidates, split_name)
    predicted = [_predict(each, settings, split) for each in candidates]
    for each in predicted:
        same_images.require_same_images(predicted[0], each)
    comparison = gates.find_failed(fail_if_worse, measure.measure(predicted, split, plan))
    _write(comparison, predicted, output)
    gates.check_gates(fail_if_worse, comparison)
    return comparison


def _open_all(targets: Sequence[Path], overrides: Sequence[str]) -> list[Candidate]:
    """Return what is to be compared, with a note on what is given twice."""
    if len(targets) < 2:
        raise UserError(
            f"compare needs at least two runs or families, got {len(targets)}; the others are"
            " compared with the first, as in: imgcls compare runs/digits/1 runs/digits/2"
        )
    candidates = [_open(target, overrides) for target in targets]
    folders = [each.folder.resolve() for each in candidates]
    for index, each in enumerate(candidates):
        if folders[index] in folders[:index]:
            terminal.note(f"{each.folder} is given twice")
    return candidates


def _open(target: Path, overrides: Sequence[str]) -> Candidate:
    candidate = Candidate(*find_run_or_family(target, overrides))
    if isinstance(candidate.run_or_family, Family):
        families.require_same_data(candidate.run_or_family)
    return candidate


def _parse_split(candidates: Sequence[Candidate], name: str) -> SplitName:
    split = parse_split_name(candidates[0].runs[0], name)
    folds = [each.folder for each in candidates if each.by == "fold"]
    if folds and split != "test":
        raise UserError(
            f"--split {split}: {folds[0]} is a family by fold, of which only the test splits are"
            " disjoint; leave out --split"
        )
    return split


def _predict(candidate: Candidate, settings: Evaluate, split: SplitName) -> PredictedCandidate:
    """Return a candidate with what the metrics of these settings need."""
    experiment = candidate.experiment.model_copy(update={"evaluate": settings})
    found = [
        predictor.add_validation(_load_or_evaluate(run, candidate, split), run, experiment, split)
        for run in candidate.runs
    ]
    return PredictedCandidate(candidate, found)


def _load_or_evaluate(run: Run, candidate: Candidate, split: SplitName) -> Predictions:
    """Return the predictions of a run, which is evaluated if it has none of its current model."""
    saved = predictions.find_current(run, split)
    if saved is None:
        evaluate.evaluate(run, candidate.experiment, split)
        saved = predictions.load(run, split)
    return saved


def _write(
    comparison: Comparison, predicted: Sequence[PredictedCandidate], output: Path | None
) -> None:
    with files.explain_errors(output or COMPARISONS):
        folder = output or numbered_folders.make_next(COMPARISONS)
    write_record(folder / "comparison.json", comparison)
    page.write_page(comparison, predicted, folder)
    terminal.note(f"written to {folder}; open {folder / 'comparison.html'}")
