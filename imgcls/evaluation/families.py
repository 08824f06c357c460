"""The results of a family: those of its runs, their spread, and pooled predictions. Light zone."""

import os
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from imgcls.config import Experiment, Tta
from imgcls.datasets import SPLITS, SplitName
from imgcls.errors import DataError
from imgcls.evaluation.predictions import Predictions
from imgcls.evaluation.record import Evaluation
from imgcls.evaluation.spread import Spread, compute_spreads
from imgcls.family import By, Family
from imgcls.io.records import Record, read_record
from imgcls.metrics import Number
from imgcls.run import Run
from imgcls.store.store import hash_json
from imgcls.training import history


class RunSummary(Record):
    """The training of one run of a family."""

    run: str
    """The folder of the run."""
    number: int
    """Its seed, or the number of its fold, from 1."""
    epochs: Annotated[int, Field(ge=0)]
    """The number of epochs that it was trained for."""
    selected_epoch: Annotated[int, Field(ge=0)]
    """The epoch whose weights model.keras has."""
    val_loss: Number
    """Its loss on the validation split at that epoch, in nats; null if that is empty."""
    val_accuracy: Number
    """Its accuracy on the validation split at that epoch, 0..1; null if that is empty."""
    seconds: float
    """The time of all epochs, in seconds."""


class FamilyEvaluation(Record):
    """The metrics of a family on a split."""

    family: str
    """The folder of the family."""
    by: By
    """What the runs differ in."""
    split: SplitName
    """The split: train, validation or test."""
    runs: list[str]
    """The folders of the runs, in the order of family.json."""
    examples: list[int]
    """The number of images that each run was evaluated on."""
    confidence: Annotated[float, Field(gt=0, lt=1)]
    """The confidence level of the intervals, 0..1."""
    spreads: dict[str, Spread]
    """The spread of each scalar, by the names that `--fail-under` takes."""
    pooled: Evaluation | None
    """The evaluation of the pooled out-of-fold predictions; null unless the runs differ in the fold
    and the split is test.
    """
    tta: dict[Tta, dict[str, Spread]]
    """The spread of each scalar with test-time augmentation, by method; gates do not use it."""

    @property
    def metrics(self) -> dict[str, Number]:
        """The mean of each scalar, for gates."""
        return {name: spread.mean for name, spread in self.spreads.items()}


class FamilySummary(Record):
    """The training of a family."""

    family: str
    """The folder of the family."""
    by: By
    """What the runs differ in."""
    runs: list[RunSummary]
    """The runs, in the order of family.json."""
    confidence: Annotated[float, Field(gt=0, lt=1)]
    """The confidence level of the intervals, 0..1."""
    spreads: dict[str, Spread]
    """The spread of the validation results, by name."""
    out_of_fold: FamilyEvaluation | None
    """The evaluation of the images that each run held out; null for runs by seed."""


def summarize_training(family: Family, out_of_fold: FamilyEvaluation | None) -> FamilySummary:
    """Return the validation results of a finished family, and their spread.

    Raises:
        DataError: the log of a run is missing or damaged.
    """
    confidence = family.experiment.evaluate.confidence
    pairs = zip(family.record.numbers, family.runs, strict=True)
    runs = [_summarize_run(number, run) for number, run in pairs]
    rows = [{"val_accuracy": each.val_accuracy, "val_loss": each.val_loss} for each in runs]
    return FamilySummary(
        family=str(family.folder),
        by=family.record.by,
        runs=runs,
        confidence=confidence,
        spreads=compute_spreads(rows, confidence),
        out_of_fold=out_of_fold,
    )


def _summarize_run(number: int, run: Run) -> RunSummary:
    log = history.read_complete_log(run)
    selected = history.get_selected_epoch(log, run.experiment.train)
    return RunSummary(
        run=str(run.folder),
        number=number,
        epochs=log[-1].epoch,
        selected_epoch=selected.epoch,
        val_loss=selected.val_loss,
        val_accuracy=selected.val_accuracy,
        seconds=sum(each.seconds for each in log),
    )


def combine_evaluations(
    family: Family, split: SplitName, evaluated: Sequence[Evaluation], pooled: Evaluation | None
) -> FamilyEvaluation:
    """Return the evaluation of a family from those of its runs."""
    confidence = evaluated[0].confidence
    return FamilyEvaluation(
        family=str(family.folder),
        by=family.record.by,
        split=split,
        runs=[str(run.folder) for run in family.runs],
        examples=[each.examples for each in evaluated],
        confidence=confidence,
        spreads=compute_spreads([each.metrics for each in evaluated], confidence),
        pooled=pooled,
        tta={
            name: compute_spreads([each.tta[name].metrics for each in evaluated], confidence)
            for name in evaluated[0].tta
        },
    )


def list_evaluated_splits(family: Family) -> list[str]:
    """Return the splits that a family was evaluated on."""
    return [split for split in SPLITS if os.path.lexists(family.spread_file(split))]


def read_evaluation(family: Family, split: str) -> FamilyEvaluation:
    """Return the evaluation of a family on a split.

    Raises:
        DataError: spread.json is missing or damaged.
    """
    advice = family.get_evaluation_advice(split)
    return read_record(family.spread_file(split), FamilyEvaluation, advice)


def require_same_data(family: Family) -> None:
    """Check that all runs were trained on the store of the family, and those by seed on one split.

    Raises:
        DataError: they were not.
    """
    runs = family.runs
    for run in runs:
        if run.data.fingerprint != family.record.fingerprint:
            raise DataError(
                f"{run.folder} was trained on the store {run.data.fingerprint[:12]}, but the family"
                f" on {family.record.fingerprint[:12]}; train a new family"
            )
        if family.record.by == "seed" and run.data.split_sha256 != runs[0].data.split_sha256:
            raise DataError(
                f"{run.folder} and {runs[0].folder} were trained on different splits; train a new"
                " family"
            )


def require_own_settings(family: Family) -> None:
    """Check that each run was trained with the seed or fold that the family has in its place.

    Otherwise a copy of a run in the place of another would count twice.

    Raises:
        DataError: one was not.
    """
    for run, own in family.pair_runs(family.experiment):
        if run.experiment.identity() != own.identity():
            raise DataError(
                f"{run.folder} was not trained with the settings of its family; remove it, and"
                f" train it again with `{family.format_command()}`"
            )


def pool_predictions(family: Family, found: Sequence[Predictions]) -> Predictions:
    """Return the predictions of all folds as one, in the order of the folds.

    Raises:
        DataError: two runs held out the same image.
    """
    import numpy

    ids = [name for each in found for name in each.ids]
    if len(set(ids)) < len(ids):
        raise DataError(
            f"{family.folder}: two of its runs held out the same image, so that they are not folds"
            " of one data set; train a new family"
        )
    return Predictions(
        probabilities=numpy.concatenate([each.probabilities for each in found]),
        labels=numpy.concatenate([each.labels for each in found]),
        ids=ids,
        classes=found[0].classes,
        model=hash_json([each.model for each in found]),
        temperature=None,
    )


def select_first_scalars(found: FamilyEvaluation, experiment: Experiment) -> dict[str, Spread]:
    """Return the spread of the first scalar of each metric that the experiment lists.

    Metrics are left out that were not computed, or that no run defines.
    """
    firsts = [next(iter(settings.scalars), "") for settings in experiment.evaluate.metrics]
    return {
        name: found.spreads[name]
        for name in firsts
        if name in found.spreads and found.spreads[name].count
    }
