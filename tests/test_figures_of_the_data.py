"""Figures of the data show its counts, and its images as they are stored and augmented."""

from pathlib import Path

import numpy
import pytest
from experiments import change_json
from figure_drawing import draw, drawn
from synthetic_run import class_names, make_run

from imgcls.figures import NotDrawableError, Subject, _mosaic, _style
from imgcls.run import Run


def test_bars_of_the_class_distribution_are_the_counts(evaluated_run: Run):
    counts = evaluated_run.data.class_counts
    for axes, split in zip(
        drawn(evaluated_run, "class_distribution").axes,
        ("train", "validation", "test"),
        strict=True,
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


def test_the_sample_grid_shows_training_images_of_each_class(evaluated_run: Run):
    classes = len(evaluated_run.data.classes)
    figure = draw(evaluated_run, "sample_grid", rows=5, columns=4)
    subject = Subject(evaluated_run, evaluated_run.experiment)
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


def test_augmented_samples_begin_with_the_original_and_differ_by_the_augmentation_alone(
    evaluated_run: Run,
):
    figure = draw(evaluated_run, "augmented_samples", rows=2, variants=12)
    canvas = figure.axes[0].images[0].get_array()
    cells = [canvas[1:9, 12 * column + 1 : 12 * column + 11] for column in range(13)]
    subject = Subject(evaluated_run, evaluated_run.experiment)
    original = subject.images.read(subject.split.train[:1])[0]
    assert numpy.array_equal(cells[0], original)
    kinds = ["same" if numpy.array_equal(cell, original) else "flipped" for cell in cells[1:]]
    assert all(
        numpy.array_equal(cell, original[:, ::-1])
        for cell, kind in zip(cells[1:], kinds, strict=True)
        if kind == "flipped"
    )
    assert set(kinds) == {"same", "flipped"}


def test_an_experiment_without_augmentation_has_no_augmented_samples(tmp_path: Path):
    with pytest.raises(NotDrawableError, match="no `augment:` list"):
        draw(make_run(tmp_path / "run"), "augmented_samples")
