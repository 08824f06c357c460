"""Overfitting a few images: can the model fit them at all? Heavy zone.

A model that cannot has a mistake: in its layers, its labels, its learning rate or its numbers
(Goodfellow et al., Deep learning, 2016, section 11.5: "Fit a tiny dataset").
"""

import math
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy
from pydantic import BaseModel

from imgcls.config import Experiment
from imgcls.errors import DivergenceError, UserError
from imgcls.input import sampler
from imgcls.io import terminal
from imgcls.rehearsal.short_training import ShortTraining, run_with_less_memory
from imgcls.seeds import derive_seed
from imgcls.store.split_file import Split
from imgcls.store.store import Store
from imgcls.training import build, step_sums

MAX_STEPS, MAX_EPOCHS = 1000, 50
"""Training ends after this many steps or passes over the images, whichever is later."""
STEPS_PER_EVALUATION = 20
WARMUP_STEPS = 20
"""Steps in which the learning rate rises from 0 to that of the experiment, where it stays."""
REGULARIZATION = {
    "dropout": 0.0,
    "l2": 0.0,
    "label_smoothing": 0.0,
    "stochastic_depth": 0.0,
    "weight_decay": 0.0,
}
"""Settings of parts that keep a model from fitting its training images, each with the
value that turns it off."""
TRAINING: dict[str, Any] = {
    "sampling": None,
    "augmentation_repeats": 1,
    "freeze": [],
    "head_init": None,
    "progressive_resizing": None,
}
"""Settings of `train` that do the same, or that fit the images before the first step. Those of the
ends of epochs, such as early stopping, are never used here."""


def run(experiment: Experiment, store: Store, split: Split, images: int) -> dict[str, Any]:
    """Train a new model on a few images until it classifies all of them correctly.

    Returns:
        What the command prints.

    Raises:
        UserError: there are fewer images, or the experiment does not suit them.
        DivergenceError: the loss is not finite.
        OutOfMemoryError: as `run_with_less_memory`.
    """
    indices = select_images(experiment, store, split, images)
    few = replace(split, train=indices, validation=indices)
    adapted, changed = adapt(experiment, images)
    found = run_with_less_memory(adapted, lambda each: _fit(each, store, few))
    contradictory = count_contradictory(store, few)
    return {**found, "contradictory_images": contradictory, "turned_off": changed}


def explain_failure(found: dict[str, Any]) -> str | None:
    """Return why the model does not fit its images, and what to do; None if it does.

    Args:
        found: the result of `run`.
    """
    if found["fits"]:
        return None
    contradictory = found["contradictory_images"]
    return (
        f"the model does not fit {found['images']} training images: it classifies"
        f" {found['accuracy']:.4g} of them correctly after {found['steps']} steps"
        + (
            f"; {contradictory} of them have the pixels of another one with another label"
            if contradictory
            else ""
        )
        + "; look at the wrong images and their labels, find a learning rate with `imgcls train"
        " --find-learning-rate`, or use a larger model"
    )


def select_images(experiment: Experiment, store: Store, split: Split, images: int) -> numpy.ndarray:
    """Return the indices of some training images, as many of each class as possible, sorted.

    Within a class, they are the first ones of the first epoch.

    Raises:
        UserError: there are fewer training images.
    """
    if images > len(split.train):
        raise UserError(
            f"--overfit {images}: there are {len(split.train):,} training images; give at most that"
            " many"
        )
    order = sampler.shuffle_epoch(len(split.train), derive_seed(experiment.seed, "order"), 0)
    labels = store.labels[split.train[order]]
    by_class = numpy.argsort(labels, kind="stable")
    counts = numpy.bincount(labels, minlength=len(store.classes))
    ranks = numpy.empty(len(labels), numpy.int64)
    ranks[by_class] = numpy.concatenate([numpy.arange(count) for count in counts])
    chosen = numpy.lexsort((labels, ranks))[:images]
    return numpy.sort(split.train[order[chosen]])


def adapt(experiment: Experiment, images: int) -> tuple[Experiment, dict[str, Any]]:
    """Return the experiment without augmentation and regularization, and what was turned off.

    A batch is not larger than the images, so that it is not padded; devices share it evenly, so it
    is left alone if there may be several.
    """
    changed: dict[str, Any] = {"augment": [each.name for each in experiment.augment]}
    update: dict[str, Any] = {"augment": []}
    settings = experiment.train
    update["model"] = _turn_off(experiment.model, REGULARIZATION, "model", changed)
    train: dict[str, Any] = {
        name: _turn_off(getattr(settings, name), REGULARIZATION, f"train.{name}", changed)
        for name in ("loss", "optimizer")
    }
    if settings.batch_size > images and not settings.strategy.spans_devices:
        train |= {"batch_size": images, "micro_batch_size": None}
    trained = _turn_off(settings.model_copy(update=train), TRAINING, "train", changed)
    return experiment.model_copy(update=update | {"train": trained}), {
        name: value for name, value in changed.items() if value
    }


def _turn_off(
    settings: BaseModel, off: dict[str, Any], path: str, changed: dict[str, Any]
) -> BaseModel:
    """Return settings with other values, in settings inside them too; add the old ones to
    `changed`.
    """
    update: dict[str, Any] = {}
    for name, value in settings:
        if name in off and value != off[name]:
            update[name] = off[name]
            changed[f"{path}.{name}"] = settings.model_dump()[name]
        elif isinstance(value, BaseModel) and off is REGULARIZATION:
            update[name] = _turn_off(value, off, f"{path}.{name}", changed)
    return settings.model_copy(update=update)


def _fit(experiment: Experiment, store: Store, split: Split) -> dict[str, Any]:
    start, steps = time.monotonic(), 0
    loss = accuracy = train_loss = train_accuracy = math.nan
    with ExitStack() as stack:
        training = ShortTraining(experiment, store, split, stack)
        peak = build.compute_peak(experiment.train)
        limit = max(MAX_STEPS, MAX_EPOCHS * training.steps_per_epoch)
        while steps < limit and accuracy != 1:
            count = min(STEPS_PER_EVALUATION, limit - steps)
            rises = (numpy.arange(steps, steps + count) + 1) / WARMUP_STEPS
            rates = peak * numpy.minimum(rises, 1.0)
            sums = training.train(steps, rates)
            steps += count
            _require_finite(sums, steps)
            loss, accuracy = training.evaluate()
            train_loss, train_accuracy = step_sums.compute_means(sums)
            terminal.print_line(
                f"step {steps}/{limit}  loss {train_loss:.4f}  accuracy {train_accuracy:.4f} "
                f" evaluated: loss {loss:.4f}  accuracy {accuracy:.4f}"
            )
        wrong = store.get_ids(training.find_wrong_images())
    return {
        "fits": accuracy == 1,
        "images": len(split.train),
        "classes": len(numpy.unique(store.labels[split.train])),
        "accuracy": accuracy,
        "loss": loss,
        "training_accuracy": train_accuracy,
        "training_loss": train_loss,
        "steps": steps,
        "max_steps": limit,
        "batch_size": experiment.train.batch_size,
        "accumulation_steps": training.accumulation_steps,
        "seconds": time.monotonic() - start,
        "wrong": wrong,
    }


def _require_finite(sums: numpy.ndarray, steps: int) -> None:
    if numpy.isfinite(sums[step_sums.LOSS]) and not sums[step_sums.NONFINITE_GRADIENTS]:
        return
    raise DivergenceError(
        f"the loss or a gradient is not finite within {steps} steps; lower"
        " train.optimizer.learning_rate"
    )


def count_contradictory(store: Store, split: Split) -> int:
    """Return how many of the training images have the pixels of one that has another label."""
    images = store.open_reader(split.geometry)
    classes: dict[bytes, list[int]] = {}
    for index in split.train:
        pixels = images.read(numpy.array([index])).tobytes()
        classes.setdefault(pixels, []).append(int(store.labels[index]))
    images.close()
    return sum(len(labels) for labels in classes.values() if len(set(labels)) > 1)
