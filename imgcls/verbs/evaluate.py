"""The verb `eval`: evaluates a run's model on a split. Light zone.

TensorFlow is imported only if there are no saved predictions.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imgcls import metrics
from imgcls.config import Experiment, Tta
from imgcls.datasets import SplitName
from imgcls.errors import UserError
from imgcls.evaluation import families, gates, predictions, predictor
from imgcls.evaluation.embedding import find_or_write_embedding
from imgcls.evaluation.families import FamilyEvaluation
from imgcls.evaluation.groups import find_groups
from imgcls.evaluation.image_results import write_image_results
from imgcls.evaluation.measure import measure, measure_tta
from imgcls.evaluation.predictions import Predictions
from imgcls.evaluation.record import Evaluation
from imgcls.evaluation.robustness import measure_robustness
from imgcls.evaluation.robustness_record import GATES, Robustness
from imgcls.export.artifact import find_or_predict, open_artifact
from imgcls.family import Family
from imgcls.io import files, terminal
from imgcls.io.records import write_record
from imgcls.report import family_text, robustness_text
from imgcls.report.tables import format_table
from imgcls.result_folder import ResultFolder
from imgcls.run import Run
from imgcls.run_lookup import require_finished
from imgcls.seeds import derive_seed
from imgcls.split.split_name import parse_split_name
from imgcls.store.manifest import DataDescription


def evaluate(
    run_or_family: Run | Family,
    experiment: Experiment | None = None,
    split_name: str = "test",
    fail_under: Mapping[str, float] = {},
    artifact: Path | None = None,
    corruptions: bool = False,
) -> Evaluation | FamilyEvaluation | Robustness:
    """Evaluate a run, or each run of a family, on a split; or an artifact exported from a run.

    A run gets predictions.npz, metrics.json, report.txt, and images.csv and images.jsonl with the
    results of every image. A family gets spread.json and report.txt, and a family by folds also
    what a run gets, of the pooled predictions of all test splits. An artifact is evaluated in its
    own runtime, and gets the files of a run beside it.

    Args:
        experiment: its `evaluate` section lists the metrics; None for the experiment of the run.
        split_name: train, validation or test.
        fail_under: the minimum of each metric.
        artifact: what `export` wrote; None for model.keras.
        corruptions: measure a run under corruptions instead.

    Returns:
        The content of metrics.json, or of spread.json, or of corruptions.json.

    Raises:
        GateError: a metric, or its mean over a family, is below its minimum; all files are written.
        UserError: the split does not exist or is empty, an argument is not valid, or `artifact`
            is not one, or needs an extra.
        DataError: a run is not finished; or its store is needed, and missing or changed; or the
            artifact is of another model, or was changed.
        DivergenceError: the model predicts probabilities that are not finite.
    """
    experiment = experiment or run_or_family.experiment
    if corruptions:
        return _evaluate_corruptions(run_or_family, experiment, split_name, fail_under, artifact)
    gates.require_valid(fail_under, metrics.list_directions(experiment.evaluate.metrics))
    if isinstance(run_or_family, Family):
        if artifact:
            raise UserError(f"{run_or_family.folder} is a family; --artifact needs one of its runs")
        found = evaluate_family(run_or_family, experiment, split_name)
        gates.check_gates(fail_under, found.metrics, found)
        return found
    if artifact:
        evaluation = _evaluate_artifact(artifact, run_or_family, experiment, split_name)
    else:
        evaluation = _evaluate_run(run_or_family, experiment, split_name)
    gates.check_gates(fail_under, evaluation.metrics, evaluation)
    return evaluation


def _evaluate_run(run: Run, experiment: Experiment, split_name: str) -> Evaluation:
    require_finished(run)
    split = parse_split_name(run, split_name)
    found = predictor.find_or_predict(run, experiment, split)
    averages = predictor.find_or_average(run, experiment, split, found)
    find_or_write_embedding(run, experiment, split)
    found = predictor.add_validation(found, run, experiment, split)
    return _write_evaluation(run, run.data, experiment, split, found, averages)


def _evaluate_artifact(path: Path, run: Run, experiment: Experiment, split_name: str) -> Evaluation:
    require_finished(run)
    split = parse_split_name(run, split_name)
    artifact = open_artifact(path, run)
    if experiment.evaluate.tta:
        terminal.note("an artifact is evaluated without test-time augmentation")
    found = find_or_predict(artifact, run, experiment, split)
    found = predictor.add_validation_of(
        lambda: find_or_predict(artifact, run, experiment, "validation"),
        found,
        run,
        experiment,
        split,
    )
    return _write_evaluation(artifact.folder, run.data, experiment, split, found, {})


def _evaluate_corruptions(
    run: Run | Family,
    experiment: Experiment,
    split_name: str,
    fail_under: Mapping[str, float],
    artifact: Path | None,
) -> Robustness:
    """Measure a run under corruptions, and write corruptions.json and corruptions.txt."""
    if isinstance(run, Family):
        runs = terminal.format_some([str(each.folder) for each in run.runs], 5)
        raise UserError(f"--corruptions needs a run; {run.folder} is a family of {runs}")
    if artifact:
        raise UserError("--corruptions measures model.keras; give it without --artifact")
    gates.require_valid(fail_under, GATES)
    require_finished(run)
    split = parse_split_name(run, split_name)
    found = measure_robustness(run, experiment, split)
    write_record(run.robustness_file(split), found)
    text = robustness_text.format_robustness(found, run.folder)
    files.write_text(run.robustness_report_file(split), text)
    gates.check_gates(fail_under, found.metrics, found)
    return found


def get_result_folder(run_or_family: Run | Family, artifact: Path | None) -> Path:
    """Return the folder that `evaluate` writes to: of the run, family, or artifact."""
    return artifact.parent if artifact else run_or_family.folder


def _write_evaluation(
    folder: ResultFolder,
    data: DataDescription,
    experiment: Experiment,
    split: SplitName,
    found: Predictions,
    averages: Mapping[Tta, Predictions],
) -> Evaluation:
    """Measure predictions, and those with test-time augmentation; write metrics, the results of
    every image, and the report.
    """
    seed = derive_seed(experiment.seed, "bootstrap")
    measured = measure(experiment.evaluate, found, seed, find_groups(data, experiment, found))
    with_tta = {
        name: measure_tta(experiment.evaluate, name, average, seed)
        for name, average in averages.items()
    }
    evaluation = Evaluation(split=split, **_describe(found), **measured, tta=with_tta)
    write_image_results(folder, split, found)
    write_record(folder.metrics_file(split), evaluation)
    files.write_text(folder.report_file(split), _format_evaluation(evaluation, folder.folder))
    return evaluation


def evaluate_family(
    family: Family, experiment: Experiment, split_name: str = "test"
) -> FamilyEvaluation:
    """Evaluate each run of a family on a split, as `evaluate` does, without gates."""
    family.require_finished()
    families.require_own_settings(family)
    families.require_same_data(family)
    split = parse_split_name(family.runs[0], split_name)
    evaluated = [_evaluate_run(run, own, split) for run, own in family.pair_runs(experiment)]
    pooled = None
    if family.record.by == "fold" and split == "test":
        averages = {name: _pool(family, split, name) for name in experiment.evaluate.tta}
        data = family.runs[0].data
        pooled = _write_evaluation(family, data, experiment, split, _pool(family, split), averages)
    found = families.combine_evaluations(family, split, evaluated, pooled)
    write_record(family.spread_file(split), found)
    files.write_text(family.report_file(split), family_text.format_evaluation(found))
    return found


def _pool(family: Family, split: SplitName, tta: Tta | None = None) -> Predictions:
    """Pool the predictions of all folds, save them, and return them."""
    loaded = [predictions.load(run, split, tta) for run in family.runs]
    pooled = families.pool_predictions(family, loaded)
    predictions.save(pooled, family.predictions_file(split, tta))
    return pooled


def format_report(found: Evaluation | FamilyEvaluation | Robustness, folder: Path) -> str:
    """Return the report of an evaluation of a run, or of a family, or under corruptions.

    Args:
        folder: as of `get_result_folder`.
    """
    if isinstance(found, FamilyEvaluation):
        return family_text.format_evaluation(found)
    if isinstance(found, Robustness):
        return robustness_text.format_robustness(found, folder)
    return _format_evaluation(found, folder)


def _format_evaluation(evaluation: Evaluation, folder: Path) -> str:
    """Return the report of an evaluation: the numbers, a table of the classes, and each metric's
    tables.

    It shows what is there: a new metric needs no change here.
    """
    tables = {name: format_table(rows) for name, rows in evaluation.tables.items()}
    sections = [
        _format_header(evaluation, folder),
        format_table(evaluation.make_metric_rows()),
        *_format_tta(evaluation),
        format_table(evaluation.make_class_rows()),
        *[f"{name}\n\n{table}" for name, table in tables.items() if table],
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def _format_tta(evaluation: Evaluation) -> list[str]:
    """Return the table of test-time augmentation, below its title; nothing without it."""
    title = evaluation.describe_tta()
    return [title, format_table(evaluation.make_tta_rows())] if title else []


def _format_header(evaluation: Evaluation, folder: Path) -> str:
    absent = evaluation.classes_absent
    lines = [
        f"{terminal.to_printable(str(folder))}: {evaluation.split} split, {evaluation.examples:,}"
        f" images, model {evaluation.model[:12]}"
    ]
    if intervals := evaluation.describe_intervals():
        lines.append(intervals)
    if absent:
        classes = len(evaluation.classes)
        names = terminal.format_some(list(map(terminal.to_printable, absent)))
        lines.append(
            f"macro means are over {classes - len(absent)} of {classes} classes; absent from this"
            f" split: {names}"
        )
    return "\n".join(lines)


def _describe(found: Predictions) -> dict[str, Any]:
    present = set(found.labels.tolist())
    return {
        "examples": len(found.ids),
        "classes": found.classes,
        "classes_absent": [name for i, name in enumerate(found.classes) if i not in present],
        "model": found.model,
    }
