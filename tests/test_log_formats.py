"""The log as a table and as event files says what log.jsonl says."""

import csv
from pathlib import Path

import pytest
from experiments import make_epoch

from imgcls.backend import tf
from imgcls.run import Run
from imgcls.training import log_formats
from imgcls.verbs import train

EPOCHS = [
    make_epoch(epoch=1, loss=2.5, seconds=1.5),
    make_epoch(epoch=2, loss=0.125, seconds=2.0, val_loss=None, val_accuracy=None),
]


def read_events(path):
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    return [tf.compat.v1.Event.FromString(record) for record in records]


def test_the_table_has_a_row_for_each_epoch_and_a_column_for_each_number():
    rows = list(csv.DictReader(log_formats.format_table(EPOCHS).splitlines()))
    assert [(row["epoch"], row["loss"], row["val_loss"]) for row in rows] == [
        ("1", "2.5", "1.0"),
        ("2", "0.125", ""),
    ]
    assert (rows[0]["image_size"], rows[0]["steps_seconds"]) == ("8x8", "0.0")


def test_events_have_the_numbers_of_each_epoch_as_tensorboard_reads_them(tmp_path):
    path = tmp_path / "events"
    path.write_bytes(log_formats.make_events(EPOCHS))
    version, first, second = read_events(path)
    assert version.file_version == "brain.Event:2"
    assert [(each.step, each.wall_time) for each in (first, second)] == [(1, 1.5), (2, 3.5)]
    values = {each.tag: each.simple_value for each in second.summary.value}
    assert values["loss/train"] == 0.125
    assert "loss/validation" not in values
    assert {each.tag for each in first.summary.value} == set(log_formats.TAGS.values())


def test_a_longer_log_begins_with_the_bytes_of_the_shorter_one():
    whole = log_formats.make_events(EPOCHS)
    assert whole.startswith(log_formats.make_events(EPOCHS[:1]))


@pytest.mark.parametrize("tensorboard", ["true", "false"])
def test_training_writes_the_table_and_on_request_events(digits, tensorboard):
    train.train(digits("train.epochs=1", f"train.tensorboard={tensorboard}"), Path("run"))
    run = Run(Path("run"))
    rows = list(csv.DictReader(run.log_table_file.read_text().splitlines()))
    assert [float(row["val_loss"]) for row in rows] == [epoch.val_loss for epoch in run.log]
    assert run.events_file.exists() == (tensorboard == "true")
