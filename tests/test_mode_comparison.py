"""The loss of one batch in training mode and in evaluation mode, logged once an epoch."""

from pathlib import Path

import numpy
import pytest
from experiments import MIRRORED, make_epoch
from test_freezing import make_trainer

from imgcls.run import Run
from imgcls.verbs import train

NORM = "model={name: cnn, filters: [4], dense: [8], batch_norm: true, dropout: 0.5}"

each_way = pytest.mark.parametrize(
    "epochs", ["train.epochs=2", "train.epochs=20"], ids=["eager", "compiled"]
)


def compare(settings, folder="run", accumulation_steps=1):
    """Return a trainer of an untrained model, and what the comparison returns."""
    trainer = make_trainer(settings, folder)
    result = trainer._epoch_end._comparison.compute(7, accumulation_steps)
    trainer.close()
    return trainer, result


@each_way
def test_the_losses_are_those_of_the_first_batch_in_both_modes(digits, epochs):
    from imgcls.backend import tf

    settings = digits(NORM, epochs)
    trainer = make_trainer(settings, "run")
    train_mode, eval_mode = trainer._epoch_end._comparison.compute(7, 1)
    positions, _ = trainer._batches.compute_positions(0)
    images, labels = trainer._examples.read(positions)
    trainer.close()
    step, first_row = tf.constant(7), tf.constant(0)

    def compute_loss(**arguments):
        logits = numpy.asarray(trainer.model(images, **arguments), numpy.float64)
        logits -= numpy.log(numpy.exp(logits).sum(axis=1, keepdims=True))
        return -logits[numpy.arange(len(labels)), labels].mean()

    assert eval_mode == pytest.approx(compute_loss(training=False), rel=1e-6)
    expected = compute_loss(training=True, step=step, first_row=first_row)
    assert train_mode == pytest.approx(expected, rel=1e-6)
    assert abs(train_mode - eval_mode) > 1e-3


@each_way
def test_the_comparison_changes_no_variable(digits, epochs):
    trainer = make_trainer(digits(NORM, epochs), "run")
    before = [variable.numpy() for variable in trainer.model.variables]
    trainer._epoch_end._comparison.compute(7, 1)
    for variable, value in zip(trainer.model.variables, before, strict=True):
        numpy.testing.assert_array_equal(variable.numpy(), value)
    trainer.close()


@pytest.mark.parametrize(
    ("overrides", "accumulation_steps"), [((MIRRORED,), 1), ((), 4)], ids=["mirrored", "micro"]
)
def test_devices_and_micro_batches_drop_the_same_units(digits, overrides, accumulation_steps):
    """Without batch norm, whose statistics are those of a micro-batch."""
    _, one = compare(digits(), "one")
    _, other = compare(digits(*overrides), "other", accumulation_steps)
    assert other == pytest.approx(one, rel=1e-6)


@each_way
def test_mirrored_batch_norm_normalizes_the_global_batch(digits, epochs):
    _, one = compare(digits(NORM, epochs), "one")
    _, other = compare(digits(NORM, epochs, MIRRORED), "other")
    assert other == pytest.approx(one, rel=1e-5)


def test_both_losses_are_logged_and_the_first_of_large_gaps_is_noted(digits, capsys):
    """After 6 steps an epoch, moving averages with a momentum of 0.99 have hardly moved."""
    settings = (
        *(NORM, "model.filters=[16, 16]", "model.dropout=0", "train.epochs=4"),
        "train.optimizer={name: adam, learning_rate: 0.03}",
    )
    train.train(digits(*settings), Path("moving"))
    log = Run(Path("moving")).log
    gaps = [each.eval_mode_loss - max(0.23, each.train_mode_loss) for each in log]
    large = [gap > each.train_mode_loss for gap, each in zip(gaps, log, strict=True)]
    first = [
        f"note: epoch {epoch.epoch}: on the same images, the loss is"
        for epoch, is_large, before in zip(log, large, [False, *large], strict=False)
        if is_large and not before
    ]
    notes = [line for line in capsys.readouterr().err.splitlines() if "evaluation mode" in line]
    assert first
    assert [note.partition(" is ")[0] + " is" for note in notes] == first
    assert "set train.precise_batch_norm: {batches: 64}" in notes[0]
    train.train(digits(*settings, "train.precise_batch_norm={batches: 6}"), Path("precise"))
    assert "evaluation mode" not in capsys.readouterr().err
    for epoch in Run(Path("precise")).log:
        assert epoch.eval_mode_loss == pytest.approx(epoch.train_mode_loss, rel=0.2)


@pytest.mark.parametrize(
    ("losses", "is_noted"),
    [
        ([(0.1, 2.4)], True),
        ([(0.1, 2.4), (0.1, 2.4)], False),
        ([(0.1, 0.1), (0.1, 2.4)], True),
        ([(1.0, 1.9)], False),  # less than twice
        ([(0.001, 0.1)], False),  # less than a tenth of ln(10)
        ([(2.4, 0.1)], False),  # dropout
    ],
)
def test_the_note_needs_twice_the_loss_and_a_tenth_of_that_of_guessing(losses, is_noted, capsys):
    from imgcls.training.mode_comparison import note_large_gap

    epochs = [
        make_epoch(epoch=i, train_mode_loss=train_mode, eval_mode_loss=eval_mode)
        for i, (train_mode, eval_mode) in enumerate(losses, 1)
    ]
    note_large_gap(epochs, 10, is_precise=False)
    assert ("in training mode" in capsys.readouterr().err) == is_noted


def test_a_compiled_comparison_follows_what_is_frozen(digits):
    """Frozen batch norm normalizes by its moving averages in training mode, too."""
    freeze = "train.freeze=[{depth: 1, until: 3 steps}]"
    losses = []
    for epochs in ("train.epochs=2", "train.epochs=20"):
        trainer = make_trainer(digits(NORM, "model.dropout=0", epochs, freeze), f"run-{epochs}")
        for step in (0, 3):
            trainer._start_phase(step)
            losses.append(trainer._epoch_end._comparison.compute(step, 1))
        trainer.close()
    eager, compiled = losses[:2], losses[2:]
    assert eager[0][0] == pytest.approx(eager[0][1], rel=1e-6)
    assert eager[1][0] != pytest.approx(eager[1][1], rel=1e-3)
    for one, other in zip(eager, compiled, strict=True):
        assert one == pytest.approx(other, rel=1e-5)
