"""The loss of one batch in training mode and in evaluation mode. Heavy zone."""

import contextlib
import math
from collections.abc import Callable, Iterator
from functools import cached_property

from imgcls.backend import keras, tf
from imgcls.config import Experiment
from imgcls.input.batches import SequentialBatches
from imgcls.io import terminal
from imgcls.training import build, history
from imgcls.training.phases import Phase
from imgcls.training.plan import count_epochs
from imgcls.training.replicated_model import ReplicatedModel

MAX_EAGER_EPOCHS = 10
"""In longer trainings, the computation is compiled, which takes as long as ten of them without."""

LARGE_RATIO = 2.0
"""A gap is large if the loss in evaluation mode is more than this times that in training mode."""
LARGE_FRACTION_OF_CHANCE = 0.1
"""It must also be larger by this fraction of ln(classes), the loss of guessing: the ratio of small
losses varies by chance."""


class ModeComparison:
    """Computes the loss of the same images in both modes of the model.

    The images are those of the first training step, without augmentation: there is no training
    without them, they are of all classes, and the images of every epoch are the same. Only dropout
    and batch norm differ between the modes. Dropout makes the loss in training mode the larger one;
    if that in evaluation mode is, then batch norm's moving averages do not suit the weights.

    Args:
        replicated: the model on the devices of `strategy`.
        batches: of the training split.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        replicated: ReplicatedModel,
        experiment: Experiment,
        batches: SequentialBatches,
    ):
        self._strategy = strategy
        self._replicated = replicated
        self._loss = build.build_loss(experiment)
        self._batches = batches
        self._rows = batches.batch_size // strategy.num_replicas_in_sync
        # By settings alone, since the last bits depend on it: a continued run must do the same.
        settings = experiment.train
        is_long = count_epochs(settings) > MAX_EAGER_EPOCHS
        self._compiles = is_long or settings.strategy.spans_processes  # TensorFlow warns otherwise
        self._compiled: dict[Phase | None, Callable[..., tf.Tensor]] = {}

    @cached_property
    def _batch(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The global batch, as in `LocalBatch`, on the host."""
        positions, weights = self._batches.compute_positions(0)
        images, labels = self._batches.examples.read(positions)
        with tf.device("CPU:0"):
            return tf.constant(images), tf.constant(labels, tf.int64), tf.constant(weights)

    def compute(self, step: int, accumulation_steps: int) -> tuple[float, float]:
        """Return the mean loss in training mode, and that in evaluation mode, in nats.

        Args:
            step: whose dropout masks are used.
            accumulation_steps: micro-batches per replica, each of which is normalized by itself.
        """
        run = self._compute
        if self._compiles:
            phase = self._replicated.phase  # which freezes batch norm, perhaps
            if phase not in self._compiled:
                self._compiled = {phase: tf.function(self._compute, autograph=False)}
            run = self._compiled[phase]
        with _keep_values(self._replicated.state_variables):
            losses = run(tf.constant(step), *self._batch, accumulation_steps)
        train_mode, eval_mode = losses.numpy().tolist()
        return train_mode, eval_mode

    def _compute(
        self,
        step: tf.Tensor,
        images: tf.Tensor,
        labels: tf.Tensor,
        weights: tf.Tensor,
        accumulation_steps: int,
    ) -> tf.Tensor:
        """Return both losses, float64 (2,)."""

        def compute_local() -> tf.Tensor:
            """Return this replica's contribution."""
            context = tf.distribute.get_replica_context()
            first = int(tf.get_static_value(context.replica_id_in_sync_group)) * self._rows
            size, model = self._rows // accumulation_steps, self._replicated.model
            train_mode = eval_mode = tf.zeros([], tf.float64)
            starts = range(first, first + self._rows, size)
            for row in starts:  # first, since training mode changes the moving averages
                rows = [_take_rows(each, row, size) for each in (images, labels, weights)]
                eval_mode += self._sum_losses(model(rows[0], training=False), *rows[1:])
            for row in starts:
                rows = [_take_rows(each, row, size) for each in (images, labels, weights)]
                logits = model(rows[0], training=True, step=step, first_row=tf.constant(row))
                train_mode += self._sum_losses(logits, *rows[1:])
            return tf.stack([train_mode, eval_mode])

        run = tf.autograph.experimental.do_not_convert(compute_local)
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, self._strategy.run(run), axis=None)

    def _sum_losses(self, logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        losses = tf.cast(self._loss(labels, logits), tf.float64)
        return tf.reduce_sum(losses * tf.cast(weights, tf.float64))


def _take_rows(values: tf.Tensor, start: int, count: int) -> tf.Tensor:
    """Return rows, sliced on the host and copied to the replica's device."""
    with tf.device("CPU:0"):
        rows = values[start : start + count]
    return tf.identity(rows)


@contextlib.contextmanager
def _keep_values(variables: list[keras.Variable]) -> Iterator[None]:
    """Restore the values of variables after the block."""
    values = [tf.identity(variable.value) for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def is_large_gap(train_mode: float, eval_mode: float, classes: int) -> bool:
    """Return whether the loss in evaluation mode exceeds that in training mode suspiciously."""
    margin = LARGE_FRACTION_OF_CHANCE * math.log(classes)
    return eval_mode > LARGE_RATIO * train_mode and eval_mode > train_mode + margin


def note_large_gap(epochs: history.Epochs, classes: int, *, is_precise: bool) -> None:
    """Print a note if the gap of the last epoch is large, and that of the one before was not.

    Args:
        is_precise: whether `train.precise_batch_norm` is set.
    """
    large = [
        is_large_gap(epoch.train_mode_loss, epoch.eval_mode_loss, classes) for epoch in epochs[-2:]
    ]
    if not large[-1] or large[:-1] == [True]:
        return
    last = epochs[-1]
    advice = (
        "train.precise_batch_norm has too few batches, or they are of other images than these"
        if is_precise
        else "the moving averages of batch norm lag behind the weights, as they do after few steps,"
        " with a momentum near 1, or with train.ema; set train.precise_batch_norm: {batches: 64}"
    )
    terminal.note(
        f"epoch {last.epoch}: on the same images, the loss is {last.train_mode_loss:.3g} in"
        f" training mode and {last.eval_mode_loss:.3g} in evaluation mode; likely, {advice}"
    )
