"""Figures of predictions agree with scikit-learn, and say what they lack."""

import dataclasses
from pathlib import Path

import numpy
import pytest
from figure_drawing import draw, drawn
from matplotlib.axes import Axes
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score, roc_curve
from synthetic_run import class_names, make_predictions, make_run

from imgcls.errors import DataError
from imgcls.evaluation import predictions
from imgcls.figures import NotDrawableError, Subject, _style
from imgcls.figures.confusion_matrix import cluster
from imgcls.run import Run


def replace_predictions(run: Run, **arrays: object) -> None:
    """Save other predictions in a run."""
    saved = dataclasses.replace(Subject(run, run.experiment).predictions, **arrays)
    ids = [f"image {i}" for i in range(len(saved.labels))]
    predictions.save(dataclasses.replace(saved, ids=ids), run.predictions_file("test"))


def test_the_confusion_matrix_equals_scikit_learns(evaluated_run: Run):
    classes = len(evaluated_run.data.classes)
    axes = drawn(evaluated_run, "confusion_matrix").axes[0]
    made = make_predictions(classes, 8)
    expected = confusion_matrix(made.labels, made.predicted, labels=range(classes))
    if classes == 100:
        order = cluster(expected)
        assert sorted(order.tolist()) == list(range(100))
        expected = expected[order][:, order]
    assert numpy.allclose(
        axes.images[0].get_array(), expected / expected.sum(axis=1, keepdims=True)
    )
    counts = [int(text.get_text().splitlines()[0]) for text in axes.texts]
    assert counts == (expected[expected > 0].tolist() if classes == 3 else [])


def test_the_most_confused_pairs_are_listed_where_counts_do_not_fit(evaluated_run: Run):
    classes = len(evaluated_run.data.classes)
    figure = draw(evaluated_run, "confusion_matrix", numbers_up_to=0)
    made = make_predictions(classes, 8)
    expected = confusion_matrix(made.labels, made.predicted, labels=range(classes))
    numpy.fill_diagonal(expected, 0)
    lines = figure.get_supxlabel().splitlines()[1:]
    assert [int(line.split(" ")[0]) for line in lines] == sorted(
        expected[expected > 0].tolist(), reverse=True
    )[:10]


def test_a_class_absent_from_the_split_has_an_empty_row_and_no_curve(tmp_path: Path):
    run = make_run(tmp_path / "run")
    made = make_predictions(3, 8)
    replace_predictions(run, probabilities=made.probabilities[:16], labels=made.labels[:16])
    shares = draw(run, "confusion_matrix").axes[0].images[0].get_array()
    assert shares.mask.tolist() == [[False] * 3, [False] * 3, [True] * 3]
    legend = draw(run, "roc").axes[0].get_legend()
    assert len(legend.get_texts()) == 2 + 2
    assert "1 of 3 classes not in the split" in legend.get_title().get_text()
    assert len(draw(run, "predicted_probabilities").axes[0].get_yticklabels()) == 2


def test_roc_curves_equal_scikit_learns(tmp_path: Path):
    axes = draw(make_run(tmp_path / "run"), "roc").axes[0]
    made = make_predictions(3, 8)
    for label in range(3):
        false_positive_rate, true_positive_rate, _ = roc_curve(
            made.labels == label, made.probabilities[:, label]
        )
        assert numpy.array_equal(axes.lines[label].get_xdata(), false_positive_rate)
        assert numpy.array_equal(axes.lines[label].get_ydata(), true_positive_rate)


def areas(axes: Axes) -> dict[str, float]:
    """Return what the legend says, by the curve's name."""
    words = [text.get_text().split(" ", 2) for text in axes.get_legend().get_texts()]
    return {name.strip(): float(area) for symbol, area, name in words if symbol in ("AUC", "AP")}


@pytest.mark.parametrize(
    ("name", "oracle"), [("roc", roc_auc_score), ("precision_recall", average_precision_score)]
)
def test_the_areas_beside_the_curves_equal_scikit_learns(evaluated_run: Run, name: str, oracle):
    classes = len(evaluated_run.data.classes)
    stated = areas(drawn(evaluated_run, name).axes[0])
    made = make_predictions(classes, 8)
    truth = made.labels[:, None] == numpy.arange(classes)
    expected = oracle(truth, made.probabilities, average=None)
    worst = sorted(numpy.argsort(expected, kind="stable")[:10].tolist())
    expected_names = {
        _style.shorten(class_names(classes)[label]): expected[label] for label in worst
    }
    assert stated == pytest.approx(
        {
            **expected_names,
            "macro average": expected.mean(),
            "micro average": oracle(truth, made.probabilities, average="micro"),
        },
        abs=5.1e-5,
    )


@pytest.mark.parametrize("name", ["roc", "precision_recall"])
def test_the_area_below_each_curve_as_drawn_is_the_area_stated(tmp_path: Path, name: str):
    axes = draw(make_run(tmp_path / "run", classes=6), name).axes[0]
    named = areas(axes)
    assert len(named) == 6 + 2  # the averages too
    for line, stated in zip(axes.lines[: len(named)], named.values(), strict=True):
        x, y = line.get_xdata(), line.get_ydata()
        steps = line.get_drawstyle() == "steps-pre"
        drawn = numpy.sum(numpy.diff(x) * y[1:]) if steps else numpy.trapezoid(y, x)
        # The macro average is drawn on a grid of 501 places.
        assert drawn == pytest.approx(stated, abs=3e-3)


def test_curves_need_two_classes(tmp_path: Path):
    run = make_run(tmp_path / "run")
    made = make_predictions(3, 8)
    replace_predictions(run, probabilities=made.probabilities[:8], labels=made.labels[:8])
    with pytest.raises(NotDrawableError, match="images of only one class"):
        draw(run, "roc")


def test_boxes_show_the_probabilities_of_the_true_class(evaluated_run: Run):
    classes = len(evaluated_run.data.classes)
    axes = drawn(evaluated_run, "predicted_probabilities").axes[0]
    made = make_predictions(classes, 8)
    given = made.probabilities[numpy.arange(len(made.labels)), made.labels].reshape(classes, 8)
    medians = [line.get_xdata()[0] for line in axes.lines if line.get_linewidth() == 2]
    assert medians == pytest.approx(numpy.median(given, axis=1).tolist())
    wrong = made.predicted != made.labels
    dots = axes.collections[0].get_offsets()
    assert dots[:, 0].tolist() == pytest.approx(given.ravel()[wrong].tolist())
    assert dots[:, 1].tolist() == made.labels[wrong].tolist()


def test_a_model_without_mistakes_can_be_drawn(tmp_path: Path):
    run = make_run(tmp_path / "run", classes=25)
    labels = numpy.repeat(numpy.arange(25, dtype=numpy.int32), 4)
    replace_predictions(
        run, probabilities=numpy.eye(25, dtype=numpy.float32)[labels], labels=labels
    )
    for name in (
        "confusion_matrix",
        "roc",
        "precision_recall",
        "predicted_probabilities",
        "calibration",
        "risk_coverage",
    ):
        assert all(axes.has_data() for axes in draw(run, name).axes), name


@pytest.mark.parametrize(
    "name",
    [
        "calibration",
        "confusion_matrix",
        "precision_recall",
        "predicted_probabilities",
        "risk_coverage",
        "roc",
    ],
)
def test_without_an_evaluation_the_error_says_what_to_run(name: str, tmp_path: Path):
    run = make_run(tmp_path / "run")
    run.predictions_file("test").unlink()
    with pytest.raises(NotDrawableError, match=f"run `imgcls eval {run.folder}` first"):
        draw(run, name)


def test_predictions_of_another_model_are_not_drawn(tmp_path: Path):
    run = make_run(tmp_path / "run")
    run.model_file.write_bytes(b"trained further")
    with pytest.raises(NotDrawableError, match="an earlier model"):
        draw(run, "roc")


def test_damaged_predictions_are_named(tmp_path: Path):
    run = make_run(tmp_path / "run")
    path = run.predictions_file("test")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"predictions\.npz is damaged"):
        draw(run, "roc")


def test_a_run_evaluated_on_validation_alone_says_so(tmp_path: Path):
    run = make_run(tmp_path / "run")
    predictions.save(make_predictions(3, 8), run.predictions_file("validation"))
    run.predictions_file("test").unlink()
    assert "validation split, 24 images" in draw(run, "roc").axes[0].get_title(loc="left")
