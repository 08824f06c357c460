"""The log in the formats of other programs: a table, and TensorBoard's event files. Heavy zone.

Both are written anew after each epoch, from the log alone, so that they are what it is after a run
went back to an older checkpoint, and the same for a run that was interrupted.
"""

import csv
import io
import tempfile
from pathlib import Path

from imgcls.backend import tf
from imgcls.io import files
from imgcls.run import Run
from imgcls.training.history import Epochs

TAGS = {
    "loss": "loss/train",
    "val_loss": "loss/validation",
    "accuracy": "accuracy/train",
    "val_accuracy": "accuracy/validation",
    "learning_rate": "learning_rate",
    "images_per_second": "images_per_second",
}
"""The fields of the log that TensorBoard shows, and how they are grouped there."""


def write_formats(run: Run, epochs: Epochs, tensorboard: bool) -> None:
    """Write log.csv, and event files too if `train.tensorboard` asks for them."""
    files.write_text(run.log_table_file, format_table(epochs))
    if tensorboard:
        run.events_file.parent.mkdir(exist_ok=True)
        with files.replace_file(run.events_file) as stream:
            stream.write(make_events(epochs))


def format_table(epochs: Epochs) -> str:
    """Return the log as CSV, with a column for each field; a size is `8x8`, and null is empty."""
    stream = io.StringIO()
    rows = [_flatten(epoch.model_dump()) for epoch in epochs]
    writer = csv.DictWriter(stream, rows[0] if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _flatten(epoch: dict[str, object]) -> dict[str, object]:
    row: dict[str, object] = {}
    for name, value in epoch.items():
        if isinstance(value, dict):
            row |= {f"{stage}_{name.removeprefix('stage_')}": each for stage, each in value.items()}
        else:
            row[name] = "x".join(map(str, value)) if isinstance(value, list) else value
    return row


def make_events(epochs: Epochs) -> bytes:
    """Return an event file, records of TensorFlow's `Event`; the step is the epoch, the time the
    seconds of training so far.
    """
    summary, seconds = tf.compat.v1.Summary, 0.0
    events = [tf.compat.v1.Event(wall_time=0.0, file_version="brain.Event:2")]
    for epoch in epochs:
        seconds += epoch.seconds
        found = {tag: getattr(epoch, name) for name, tag in TAGS.items()}
        values = [
            summary.Value(tag=tag, simple_value=value)
            for tag, value in found.items()
            if value is not None
        ]
        event = tf.compat.v1.Event(
            wall_time=seconds, step=epoch.epoch, summary=summary(value=values)
        )
        events.append(event)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for event in events:
                writer.write(event.SerializeToString())
        return path.read_bytes()
