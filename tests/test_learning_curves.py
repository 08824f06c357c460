"""The learning curves show the log, and the epoch that became the model."""

from pathlib import Path

import pytest
from figure_drawing import draw
from synthetic_run import make_log, make_run

from imgcls.figures import NotDrawableError
from imgcls.io.records import write_records


def test_learning_curves_are_the_log(tmp_path: Path):
    run = make_run(tmp_path / "run", epochs=200)
    loss, accuracy, learning_rate = draw(run, "learning_curves").axes
    log = make_log(200)
    for axes, line, key in [
        (loss, 0, "loss"),
        (loss, 1, "val_loss"),
        (accuracy, 0, "accuracy"),
        (accuracy, 1, "val_accuracy"),
    ]:
        assert axes.lines[line].get_ydata().tolist() == [getattr(epoch, key) for epoch in log]
        assert axes.lines[line].get_xdata().tolist() == list(range(1, 201))
    assert learning_rate.lines[0].get_ydata().tolist() == [epoch.learning_rate for epoch in log]


@pytest.mark.parametrize(
    ("train", "epoch", "reason"),
    [
        ({"monitor": "val_accuracy"}, 6, "best val_accuracy"),
        ({"monitor": "val_loss"}, 8, "best val_loss"),
        ({"select_weights": "last"}, 8, "the last"),
    ],
)
def test_the_epoch_that_became_the_model_is_marked(
    tmp_path: Path, train: dict, epoch: int, reason: str
):
    axes = draw(make_run(tmp_path / "run", epochs=8, train=train), "learning_curves").axes[0]
    assert axes.lines[-1].get_xdata()[0] == epoch
    assert axes.get_legend().get_texts()[-1].get_text().startswith(f"epoch {epoch}: {reason}")


def test_a_tie_is_said_beside_the_epoch_that_became_the_model(tmp_path: Path):
    run = make_run(tmp_path / "run", epochs=4)
    tied = [epoch.model_copy(update={"val_accuracy": 0.75}) for epoch in make_log(4)]
    write_records(run.log_file, tied)
    label = draw(run, "learning_curves").axes[0].get_legend().get_texts()[-1].get_text()
    assert label == "epoch 4: best val_accuracy, 0.75; of these 4, best val_loss, 0.558"


def test_a_single_epoch_shows_as_a_dot_on_whole_numbers(tmp_path: Path):
    axes = draw(make_run(tmp_path / "run", epochs=1), "learning_curves").axes[2]
    assert axes.lines[0].get_marker() == "o"
    assert [tick for tick in axes.get_xticks() if 0.5 <= tick <= 1.5] == [1]


def test_a_run_without_validation_has_a_training_line_alone(tmp_path: Path):
    run = make_run(tmp_path / "run", train={"select_weights": "last"})
    without = {"val_loss": None, "val_accuracy": None}
    write_records(run.log_file, [epoch.model_copy(update=without) for epoch in make_log(5)])
    labels = [
        text.get_text() for text in draw(run, "learning_curves").axes[0].get_legend().get_texts()
    ]
    assert labels == ["train", "epoch 5: the last"]


def test_a_run_without_an_epoch_has_no_learning_curves(tmp_path: Path):
    run = make_run(tmp_path / "run")
    write_records(run.log_file, [])
    with pytest.raises(NotDrawableError, match="has not finished an epoch"):
        draw(run, "learning_curves")
