"""The headline of a run's page: its results, model, cost and date in a few words. Light zone."""

import os

from imgcls.datasets import SPLITS, SplitName
from imgcls.environment import Environment
from imgcls.errors import DataError
from imgcls.evaluation.record import Evaluation
from imgcls.figures import Subject
from imgcls.figures.timing import format_seconds
from imgcls.report.tables import format_cell
from imgcls.training import history

METRICS = ("accuracy", "macro_f1", "log_loss", "expected_calibration_error")
"""The metrics in the headline, if they were computed."""

Cards = dict[str, tuple[str, str]]
"""A value, and what is added in small letters, by name."""


def make_headline(subject: Subject) -> Cards:
    """Return the numbers that a reader wants first; what a run does not have (yet) is left out."""
    cards = _make_metric_cards(subject)
    experiment = subject.experiment
    cards["model"] = (experiment.model.name, _describe_size(subject))
    cards |= _make_training_cards(subject)
    if found := subject.find_robustness("test"):
        cards["under corruptions"] = (
            format_cell(1 - found.mean_error),
            "mean accuracy, 5 severities each",
        )
    environment = read_environment(subject)
    if environment:
        cards["date"] = (environment.started[:10], f"{environment.started[11:16]} UTC, started")
    return cards


def _make_metric_cards(subject: Subject) -> Cards:
    split = find_evaluated_split(subject)
    if split is None:
        return {}
    evaluation = subject.run.read_evaluation(split)
    return {
        f"{split} {name.replace('_', ' ')}": (
            format_cell(evaluation.metrics[name]),
            _describe_interval(evaluation, name),
        )
        for name in METRICS
        if name in evaluation.metrics
    }


def find_evaluated_split(subject: Subject) -> SplitName | None:
    """Return the split whose metrics come first: test, else validation, else train."""
    names = reversed(SPLITS)
    return next((each for each in names if os.path.lexists(subject.run.metrics_file(each))), None)


def _describe_interval(evaluation: Evaluation, name: str) -> str:
    interval = evaluation.wilson_intervals.get(name) or evaluation.intervals.get(name)
    if interval is None:
        return f"{evaluation.examples:,} images"
    return f"{100 * evaluation.confidence:g} % interval {format_cell(interval)}"


def _describe_size(subject: Subject) -> str:
    try:
        log = subject.run.log
    except DataError:
        return ""
    return f"{max(each.trained_parameters for each in log):,} trained parameters" if log else ""


def _make_training_cards(subject: Subject) -> Cards:
    """Return the selected epoch and the duration; nothing without a log that can be read."""
    try:
        log = subject.run.log
    except DataError:
        return {}
    if not log:
        return {}
    train = subject.experiment.train
    selected = history.get_selected_epoch(log, train)
    reason = "the last" if train.select_weights == "last" else f"best {train.monitor}"
    seconds = sum(each.seconds for each in log)
    return {
        "selected epoch": (f"{selected.epoch} of {log[-1].epoch}", reason),
        "training time": (format_seconds(seconds), f"{log[-1].step:,} steps"),
    }


def read_environment(subject: Subject) -> Environment | None:
    """Return the environment of the last start; None if there is none, or if it is damaged."""
    if not os.path.lexists(subject.run.environment_file):
        return None
    try:
        return subject.run.environment
    except DataError:
        return None
