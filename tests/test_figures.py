"""Every figure shows the run's own numbers, and stays legible from 3 to 100 classes."""

import dataclasses
import io
import warnings
from functools import lru_cache
from pathlib import Path

import numpy
import pytest
from experiments import change_json
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score, roc_curve
from synthetic_run import class_names, make_log, make_predictions, make_run

from imgcls import parts
from imgcls.errors import DataError
from imgcls.evaluation import predictions
from imgcls.figures import NotDrawableError, Subject, _mosaic, _style
from imgcls.io.records import write_records
from imgcls.run import Run

FLIP = [{"name": "random_flip"}]


@pytest.fixture(scope="module", params=[3, 100], ids=["3 classes", "100 classes"])
def classes(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture(scope="module")
def run(classes: int, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("runs") / "run", classes=classes, augment=FLIP)


def draw(run: Run, name: str, **settings: object) -> Figure:
    """Draw a figure, with every warning an error; it is laid out and rendered, so that its artists
    have their final places.
    """
    module = parts.load("figures", name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with _style.apply_style():
            figure = module.draw(
                module.Settings(name=name, **settings), Subject(run, run.experiment)
            )
            figure.savefig(io.BytesIO(), dpi=_style.DOTS_PER_INCH)
    return figure


@lru_cache
def drawn(run: Run, name: str) -> Figure:
    """Draw a figure with its default settings, once for all tests that only look at it."""
    return draw(run, name)


def replace_predictions(run: Run, **arrays: object) -> None:
    """Save other predictions in a run."""
    saved = dataclasses.replace(Subject(run, run.experiment).predictions, **arrays)
    ids = [f"image {i}" for i in range(len(saved.labels))]
    predictions.save(dataclasses.replace(saved, ids=ids), run.predictions_file("test"))


def overlaps(axes: Axes) -> list[tuple[str, str]]:
    """Return neighbouring tick labels that cover each other."""
    found = []
    for axis in (axes.xaxis, axes.yaxis):
        shown = [
            label for label in axis.get_ticklabels() if label.get_visible() and label.get_text()
        ]
        with _style.apply_style():  # silent about characters that no font has
            boxes = [label.get_window_extent() for label in shown]
        pairs = zip(
            zip(shown, boxes, strict=True), list(zip(shown, boxes, strict=True))[1:], strict=False
        )
        found += [
            (one.get_text(), two.get_text())
            for (one, first), (two, second) in pairs
            if first.overlaps(second)
        ]
    return found


# Every figure.


@pytest.mark.parametrize("name", parts.list_names("figures"))
def test_tick_labels_do_not_overlap_and_the_picture_has_a_sensible_size(
    run: Run, name: str, tmp_path: Path
):
    figure = drawn(run, name)
    assert [overlaps(axes) for axes in figure.axes] == [[] for _ in figure.axes]
    with _style.apply_style():
        _style.save_figure(figure, tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as picture:
        assert 500 <= picture.width <= 2000
        assert 150 <= picture.height <= 2500


@pytest.mark.parametrize("name", parts.list_names("figures"))
def test_no_text_is_read_as_a_formula(run: Run, name: str):
    texts = drawn(run, name).findobj(lambda artist: hasattr(artist, "get_parse_math"))
    assert texts
    assert not any(text.get_parse_math() for text in texts)


@pytest.mark.parametrize("name", parts.list_names("figures"))
def test_one_image_a_class_and_one_epoch_are_enough(name: str, tmp_path: Path):
    draw(make_run(tmp_path / "run", classes=4, per_class=1, epochs=1, augment=FLIP), name)


@pytest.mark.parametrize("name", parts.list_names("figures"))
def test_the_docstring_opens_with_a_caption(name: str):
    caption = parts.summarize(parts.load("figures", name))
    assert caption.endswith((".", ")."))
    assert "zone" not in caption
    assert ": " in caption


# Learning curves.


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


# Classes and images.


def test_bars_of_the_class_distribution_are_the_counts(run: Run):
    counts = run.data.class_counts
    for axes, split in zip(
        drawn(run, "class_distribution").axes, ("train", "validation", "test"), strict=True
    ):
        assert [bar.get_width() for bar in axes.patches] == counts[split]
        assert axes.get_title(loc="left") == f"{split}: {sum(counts[split]):,} images"


def test_of_too_many_classes_those_with_the_fewest_images_are_shown(tmp_path: Path):
    # Every third class has the fewest training images: see make_run.
    figure = draw(make_run(tmp_path / "run", classes=9), "class_distribution", rows=3)
    names = class_names(9)
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert shown == [_style.shorten(names[0]), _style.shorten(names[3]), _style.shorten(names[6])]
    assert "3 of 9 classes" in figure.get_suptitle()


def test_an_empty_validation_split_is_drawn_as_empty(tmp_path: Path):
    run = make_run(tmp_path / "run")
    change_json(
        run.data_file,
        class_counts={**run.data.class_counts, "validation": [0, 0, 0]},
        sizes={**run.data.sizes, "validation": 0},
    )
    assert draw(run, "class_distribution").axes[1].get_title(loc="left") == "validation: 0 images"


def test_the_sample_grid_shows_training_images_of_each_class(run: Run, classes: int):
    figure = draw(run, "sample_grid", rows=5, columns=4)
    subject = Subject(run, run.experiment)
    train, labels = subject.split.train, subject.store.labels
    shown = min(5, classes)
    rows = []
    for label in range(shown):
        members = train[labels[train] == label]
        rows.append(
            subject.images.read(members[numpy.linspace(0, len(members) - 1, 4).round().astype(int)])
        )
    assert numpy.array_equal(figure.axes[0].images[0].get_array(), _mosaic.make_mosaic(rows, 4))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        _style.shorten(name) for name in class_names(shown)
    ]
    assert ("first 5 of 100 classes" in figure.axes[0].get_title(loc="left")) == (classes == 100)


def test_a_mosaic_holds_the_images_as_they_are_and_leaves_missing_cells_empty():
    images = numpy.random.default_rng(0).integers(0, 256, (3, 6, 4, 3), numpy.uint8)
    canvas = _mosaic.make_mosaic([images[:2], images[2:]], columns=2)
    assert canvas.shape == (2 * 8, 2 * 6, 3)
    assert numpy.array_equal(canvas[1:7, 1:5], images[0])
    assert numpy.array_equal(canvas[1:7, 7:11], images[1])
    assert numpy.array_equal(canvas[9:15, 1:5], images[2])
    assert len(numpy.unique(canvas[9:15, 7:11])) == 1


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_images_that_are_not_rgb_are_shown_in_grey_by_their_first_channel(
    tmp_path: Path, channels: int
):
    run = make_run(tmp_path / "run", channels=channels)
    axes = draw(run, "sample_grid").axes[0]
    subject = Subject(run, run.experiment)
    first = subject.images.read(subject.split.train[:1])[0]
    assert numpy.array_equal(
        axes.images[0].get_array()[1:9, 1:11], numpy.repeat(first[:, :, :1], 3, axis=2)
    )
    assert (f"channel 1 of {channels}" in axes.get_title(loc="left")) == (channels > 1)


def test_augmented_samples_begin_with_the_original_and_differ_by_the_augmentation_alone(run: Run):
    figure = draw(run, "augmented_samples", rows=2, variants=12)
    canvas = figure.axes[0].images[0].get_array()
    cells = [canvas[1:9, 12 * column + 1 : 12 * column + 11] for column in range(13)]
    subject = Subject(run, run.experiment)
    original = subject.images.read(subject.split.train[:1])[0]
    assert numpy.array_equal(cells[0], original)
    kinds = ["same" if numpy.array_equal(cell, original) else "flipped" for cell in cells[1:]]
    assert all(
        numpy.array_equal(cell, original[:, ::-1])
        for cell, kind in zip(cells[1:], kinds, strict=True)
        if kind == "flipped"
    )
    assert set(kinds) == {"same", "flipped"}


# Predictions.


def test_the_confusion_matrix_equals_scikit_learns(run: Run, classes: int):
    axes = drawn(run, "confusion_matrix").axes[0]
    made = make_predictions(classes, 8)
    expected = confusion_matrix(made.labels, made.predicted, labels=range(classes))
    assert numpy.allclose(
        axes.images[0].get_array(), expected / expected.sum(axis=1, keepdims=True)
    )
    counts = [int(text.get_text()) for text in axes.texts]
    assert counts == (expected[expected > 0].tolist() if classes == 3 else [])


def test_the_most_confused_pairs_are_listed_where_counts_do_not_fit(run: Run, classes: int):
    figure = draw(run, "confusion_matrix", numbers_up_to=0)
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
def test_the_areas_beside_the_curves_equal_scikit_learns(run: Run, classes: int, name: str, oracle):
    stated = areas(drawn(run, name).axes[0])
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
    with pytest.raises(NotDrawableError, match="images of one class alone"):
        draw(run, "roc")


def test_boxes_show_the_probabilities_of_the_true_class(run: Run, classes: int):
    axes = drawn(run, "predicted_probabilities").axes[0]
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
    ):
        draw(run, name)


def test_the_reliability_diagram_shows_accuracy_in_bins_of_confidence(run: Run, classes: int):
    upper, lower = drawn(run, "calibration").axes
    made = make_predictions(classes, 8)
    confidence, right = made.probabilities.max(axis=1), made.predicted == made.labels
    place = numpy.ceil(confidence.astype(float) * 15).astype(int) - 1
    counts = numpy.bincount(place, minlength=15)
    assert [bar.get_height() for bar in lower.patches] == counts.tolist()
    expected = [right[place == i].mean() for i in range(15) if counts[i]]
    assert [bar.get_height() for bar in upper.patches] == pytest.approx(expected)


def test_the_reliability_diagram_uses_the_bins_of_the_experiments_metric(tmp_path: Path):
    run = make_run(tmp_path / "run", evaluate={"metrics": [{"name": "calibration", "bins": 5}]})
    assert len(draw(run, "calibration").axes[1].patches) == 5


# What a run lacks.


@pytest.mark.parametrize(
    "name",
    ["calibration", "confusion_matrix", "precision_recall", "predicted_probabilities", "roc"],
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


def test_an_experiment_without_augmentation_has_no_augmented_samples(tmp_path: Path):
    with pytest.raises(NotDrawableError, match="no `augment:` list"):
        draw(make_run(tmp_path / "run"), "augmented_samples")


def test_a_run_without_an_epoch_has_no_learning_curves(tmp_path: Path):
    run = make_run(tmp_path / "run")
    write_records(run.log_file, [])
    with pytest.raises(NotDrawableError, match="no epoch"):
        draw(run, "learning_curves")
