"""The gallery, F1 by class, filters, timing and the learning rate show what the data are."""

from pathlib import Path

import numpy
import pytest
from experiments import make_epoch
from figure_drawing import draw
from scipy.stats import bootstrap
from sklearn.metrics import f1_score
from synthetic_run import FILTERS, MODEL, make_predictions, make_run

from imgcls import parts
from imgcls.figures import NotDrawableError, Subject, gallery
from imgcls.figures.learning_curves import scale_by_error
from imgcls.figures.timing import format_seconds
from imgcls.io.records import write_records


def test_the_gallery_shows_the_most_confident_mistakes_first(tmp_path: Path):
    run = make_run(tmp_path / "run", classes=6, per_class=20)
    subject = Subject(run, run.experiment)
    made = make_predictions(6, 20)
    first, second = gallery.choose_sections(subject, 5)
    confidence = made.probabilities.max(axis=1)
    wrong = numpy.flatnonzero(made.predicted != made.labels)
    assert confidence[first.positions].tolist() == sorted(confidence[wrong].tolist())[::-1][:5]
    assert set(second.positions) < set(wrong) - set(first.positions)
    images = gallery.read_images(subject, first.positions)
    expected = subject.store.open_reader(subject.split.geometry)
    assert (images == expected.read(subject.split.test[first.positions])).all()


def test_the_gallery_of_other_images_than_the_stores_is_refused(tmp_path: Path):
    run = make_run(tmp_path / "run", classes=3)
    subject = Subject(run, run.experiment)
    subject.predictions.ids[:] = [f"elsewhere/{i}" for i in range(24)]
    with pytest.raises(NotDrawableError, match="other images than those of the store"):
        gallery.read_images(subject, numpy.arange(3))


def test_without_a_mistake_the_gallery_shows_the_least_probable_images(tmp_path: Path):
    run = make_run(tmp_path / "run", classes=3)
    subject = Subject(run, run.experiment)
    made = make_predictions(3, 8)
    assert (made.predicted == made.labels).all()
    (section,) = gallery.choose_sections(subject, 4)
    true = made.probabilities[numpy.arange(24), made.labels]
    assert true[section.positions].tolist() == sorted(true.tolist())[:4]
    assert draw(run, "gallery").get_suptitle().startswith("No mistake")


def test_the_interval_of_f1_is_that_of_resampled_images(tmp_path: Path):
    run = make_run(tmp_path / "run", classes=6, per_class=40)
    made = make_predictions(6, 40)
    axes = draw(run, "per_class_f1").axes[0]
    drawn = [segment[:, 0] for segment in axes.collections[0].get_segments()]
    values = f1_score(made.labels, made.predicted, average=None)
    order = numpy.argsort(values, kind="stable")
    assert axes.lines[0].get_xdata().tolist() == pytest.approx(values[order].tolist())
    for (low, high), label in zip(drawn[:2], order[:2], strict=True):
        true, predicted = made.labels == label, made.predicted == label
        found = bootstrap(
            (true, predicted),
            lambda a, b, axis=-1: 2 * (a & b).sum(axis) / (a.sum(axis) + b.sum(axis)),
            paired=True,
            vectorized=True,
            n_resamples=2000,
            method="percentile",
            rng=numpy.random.default_rng(0),
        ).confidence_interval
        assert (low, high) == pytest.approx((found.low, found.high), abs=0.03)


def test_the_lowest_classes_are_shown_of_many(tmp_path: Path):
    run = make_run(tmp_path / "run", classes=80, per_class=3)
    axes = draw(run, "per_class_f1", rows=7).axes[0]
    assert len(axes.get_yticklabels()) == 7
    assert "the 7 lowest of 80 classes" in axes.get_title(loc="left")


def test_filters_are_ordered_by_their_norm_and_gray_where_they_are_zero(tmp_path: Path):
    run = make_run(tmp_path / "run")
    axes = draw(run, "first_layer_filters").axes[0]
    assert axes.get_title(loc="left") == f"{FILTERS} filters of 3x3x3 in layer stem"
    module = parts.load("figures", "first_layer_filters")
    pixels = module._to_pixels(numpy.array([[[0.0, -2.0, 1.0]]]))
    assert pixels[0, 0].tolist() == [128, 0, 191]


def test_a_model_without_a_convolution_on_images_has_no_filters(tmp_path: Path):
    run = make_run(tmp_path / "run", channels=1)
    with pytest.raises(NotDrawableError, match="no convolution whose input has the 1 channels"):
        draw(run, "first_layer_filters")
    run.model_file.write_bytes(MODEL[:100])
    with pytest.raises(NotDrawableError, match="the filters cannot be read"):
        draw(run, "first_layer_filters")


def test_the_timing_adds_up_the_stages(tmp_path: Path):
    run = make_run(tmp_path / "run")
    stages = {"steps": 6.0, "validation": 2.0, "saving": 1.0}
    log = [make_epoch(epoch=i, seconds=10.0, input_wait=0.25, stage_seconds=stages) for i in (1, 2)]
    write_records(run.log_file, log)
    axes = draw(run, "timing").axes[0]
    assert axes.get_title(loc="left") == (
        "20 s in 2 epochs, 60% in training steps; the device waited for data 25% of them"
    )
    tops = {round(bar.get_y() + bar.get_height(), 6) for bar in axes.patches}
    assert tops == {6, 8, 9, 10}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3.14159, "3.14 s"), (45.2, "45 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations_are_written_for_people(seconds: float, text: str):
    assert format_seconds(seconds) == text


def test_the_schedule_is_that_of_training(tmp_path: Path):
    train = {"epochs": 5, "schedule": {"name": "cosine", "warmup": "20%"}}
    run = make_run(tmp_path / "run", train=train)
    line, dots = draw(run, "learning_rate").axes[0].lines
    settings = run.experiment.train.schedule
    part = parts.load("schedules", "cosine")
    expected = part.compute(settings, 0.001, numpy.arange(50), 50, 10)
    assert line.get_ydata() == pytest.approx(expected)
    assert line.get_xdata()[-1] == 5
    assert list(dots.get_ydata()) == [epoch.learning_rate for epoch in run.log]


def test_a_saturated_loss_and_accuracy_have_logarithmic_axes(tmp_path: Path):
    run = make_run(tmp_path / "run", epochs=40)
    loss, accuracy, _ = draw(run, "learning_curves").axes
    assert (loss.get_yscale(), accuracy.get_yscale()) == ("log", "function")
    run = make_run(tmp_path / "short" / "run", epochs=2)
    loss, accuracy, _ = draw(run, "learning_curves").axes
    assert (loss.get_yscale(), accuracy.get_yscale()) == ("linear", "linear")


def test_equal_factors_of_mistakes_are_equal_distances(tmp_path: Path):
    axes = draw(make_run(tmp_path / "run"), "learning_curves").axes[1]
    scale_by_error(axes, 0.999, 0.5, 0.001)
    transform = axes.transData
    places = [transform.transform((1, accuracy))[1] for accuracy in (0.9, 0.99, 0.999, 1.0)]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1])
    assert places[3] > places[2]


@pytest.mark.parametrize("highest", [0.986, 1.0])
@pytest.mark.parametrize("least", [0.007, 0.0004])
def test_ticks_of_an_accuracy_do_not_lie_on_each_other(tmp_path: Path, highest, least):
    axes = draw(make_run(tmp_path / "run"), "learning_curves").axes[1]
    scale_by_error(axes, highest, 0.3, least)
    heights = axes.transData.transform([(1, tick) for tick in axes.get_yticks()])[:, 1]
    assert numpy.diff(heights).min() > 10  # pixels, the height of a label
    assert (axes.get_yticks()[-1] == 1) == (highest == 1)


def test_two_classes_have_one_curve_and_the_point_of_the_threshold(tmp_path: Path):
    run = make_run(tmp_path / "run", classes=2, per_class=200)
    made = make_predictions(2, 200)
    for name in ("roc", "precision_recall"):
        axes = draw(run, name).axes[0]
        curves = [line for line in axes.lines if line.get_label()[:1] != "_"]
        assert len(curves) == 2  # the curve, and the point
        positive, true = made.predicted == 1, made.labels == 1
        recall = positive[true].mean()
        expected = {
            "roc": (positive[~true].mean(), recall),
            "precision_recall": (recall, true[positive].mean()),
        }
        assert curves[1].get_xydata()[0].tolist() == pytest.approx(list(expected[name]))


def test_the_inset_of_roc_curves_shows_every_one_of_them(tmp_path: Path):
    run = make_run(tmp_path / "run", classes=12, per_class=40)
    axes = draw(run, "roc").axes[0]
    (inset,) = axes.child_axes
    size = inset.get_xlim()[1]
    for line in inset.lines:
        xy = line.get_xydata()
        assert ((xy[:, 0] <= size) & (xy[:, 1] >= 1 - size)).any()
