"""Micro-batches add up to the batch, and are halved where memory does not suffice."""

from pathlib import Path

import numpy
import pytest
from experiments import (
    FLOAT64,
    MIRRORED,
    weights,
)

from imgcls.errors import OutOfMemoryError, UserError
from imgcls.run import Run
from imgcls.verbs import train


@pytest.mark.parametrize(
    "overrides",
    [("train.micro_batch_size=64",), ("train.micro_batch_size=64", MIRRORED)],
    ids=["one_device", "mirrored"],
)
def test_micro_batches_add_up_to_the_global_batch(digits, overrides):
    train.train(digits(*FLOAT64), Path("whole"))
    train.train(digits(*FLOAT64, *overrides), Path("parts"))
    whole, parts = Run(Path("whole")), Run(Path("parts"))
    assert parts.status.accumulation_steps == (2 if MIRRORED in overrides else 4)
    for one, other in zip(whole.log, parts.log, strict=True):
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-12)
    for one, other in zip(weights(whole), weights(parts), strict=True):
        numpy.testing.assert_allclose(one, other, atol=1e-12)


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (("train.micro_batch_size=64", "model.batch_norm=true"), 4),
        (("train.micro_batch_size=64", "model.batch_norm=true", MIRRORED), 2),
        (("train.micro_batch_size=64",), None),
        (("model.batch_norm=true",), None),
    ],
)
def test_a_note_says_once_that_batch_norm_sees_parts_of_a_batch_and_only_where_it_does(
    digits, capsys, overrides, parts
):
    train.train(digits("train.epochs=1", *overrides), Path("run"))
    notes = [line for line in capsys.readouterr().err.splitlines() if "batch norm" in line]
    said = (
        f"note: batches of 256 images are divided into {parts} micro-batches, and model cnn has"
        " batch norm, which computes its statistics over the "
    )
    assert [note.partition(" images of each")[0] for note in notes] == (
        [f"{said}{256 // parts}"] if parts else []
    )


def test_a_micro_batch_that_does_not_divide_the_batch_is_refused_with_those_that_do(digits):
    with pytest.raises(
        UserError,
        match=r"micro_batch_size is 100, .* 256 .* use one of 1, 2, 4, 8, 16, 32, 64, 128, 256",
    ):
        train.train(digits("train.micro_batch_size=100"))


@pytest.mark.parametrize(
    ("rows", "present", "expected"),
    [(128, 1, 2), (128, 64, 128), (6, 1, 2), (6, 2, 6), (9, 1, 3), (7, 1, 7)],
)
def test_out_of_memory_asks_for_equal_parts_of_at_most_half_the_size(rows, present, expected):
    from imgcls.backend import tf
    from imgcls.training import micro_batches

    error = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor {{node x}}")
    assert micro_batches.increase_accumulation_steps(rows, present, error) == expected
    with pytest.raises(
        OutOfMemoryError,
        match=(
            r"out of memory with one image at a time \(OOM when allocating tensor\); use a smaller"
        ),
    ):
        micro_batches.increase_accumulation_steps(rows, rows, error)
