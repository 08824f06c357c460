"""The page of a comparison needs nothing else, shows all figures, and says what it cannot show."""

import re
import shutil
from pathlib import Path

import numpy
import pytest
from compared_runs import make_compared, make_family, set_correct
from experiments import command
from html_page import Page
from PIL import Image
from synthetic_run import NASTY

from imgcls.comparison import drawings, gallery
from imgcls.comparison.candidate import Candidate, PredictedCandidate
from imgcls.comparison.record import ClassDifference
from imgcls.evaluation import predictions
from imgcls.figures import _style
from imgcls.run import Run
from imgcls.verbs.compare import compare

FIGURES = ["classes", "curves", "differences", "gallery"]


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> Path:
    """A folder with two runs of seven classes with nasty names, and their comparison in `out`."""
    folder = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for number, name in enumerate(("old", "new")):
            make_compared(Path(name), 0.4 + number / 2, number, classes=len(NASTY))
        compare([Path("old"), Path("new")], output=Path("out"))
    return folder


def test_every_figure_is_a_file_and_on_the_page(compared):
    page = Page(compared / "out/comparison.html")
    assert sorted(page.list_figures()) == FIGURES
    assert sorted(path.stem for path in (compared / "out").glob("*.png")) == FIGURES
    for name in FIGURES:
        with Image.open(compared / f"out/{name}.png") as picture:
            picture.verify()


def test_the_page_needs_nothing_else(compared):
    page = Page(compared / "out/comparison.html")
    assert {tag for tag, _ in page.tags}.isdisjoint({"link", "iframe", "object", "a"})
    assert page.all("script") == [{}]  # without a source
    pictures = [attributes["src"] for name, attributes in page.tags if name == "img"]
    assert all(source.startswith("data:image/png;base64,") for source in pictures)
    assert not re.search(r"https?://|url\(|@import", page.source)


def test_class_names_are_text_and_never_markup(compared):
    page = Page(compared / "out/comparison.html")
    assert "b" not in {tag for tag, _ in page.tags}
    assert '<b>&"' in page.text


def test_the_page_says_what_the_report_says(compared, monkeypatch):
    monkeypatch.chdir(compared)
    page = Page(Path("out/comparison.html"))
    found = compare([Path("old"), Path("new")], output=Path("again")).comparisons[0]
    assert found.sentence in page.text
    assert f"{found.metrics[0].difference:.4f}" in page.text
    assert page.source == Path("again/comparison.html").read_text()


def test_without_the_store_a_sentence_replaces_the_images(workspace):
    for number, name in enumerate(("old", "new")):
        make_compared(Path(name), 0.4 + number / 2, number)
    shutil.rmtree("data")
    exit_code, _, stderr = command("compare", "old", "new", "--output", "out")
    assert exit_code == 0
    assert "note: the page shows no images: the run's data, data/digits-" in stderr
    page = Page(Path("out/comparison.html"))
    assert "No images are shown: the run's data" in page.text
    assert sorted(page.list_figures()) == ["classes", "curves", "differences"]


def test_identical_predictions_have_neither_classes_nor_images_to_show(workspace):
    make_compared(Path("old"))
    compare([Path("old"), Path("old")], output=Path("out"))
    page = Page(Path("out/comparison.html"))
    assert sorted(page.list_figures()) == ["curves", "differences"]
    assert "No difference found: identical predictions." in page.text


def test_several_candidates_have_figures_of_their_own(workspace):
    for number, name in enumerate(("old", "new", "third")):
        make_compared(Path(name), 0.4 + number / 4, number)
    compare([Path("old"), Path("new"), Path("third")], output=Path("out"))
    assert {path.stem for path in Path("out").glob("*.png")} == {
        "curves",
        *(f"{name}_{number}" for name in FIGURES if name != "curves" for number in (1, 2)),
    }


# The images.


def predict(folder: str, correct: numpy.ndarray, variant: int) -> PredictedCandidate:
    """Return a run that classifies these images correctly."""
    run = make_compared(Path(folder))
    set_correct(run, correct, variant)
    return PredictedCandidate(Candidate(run, run.experiment), [predictions.load(run, "test")])


def test_the_images_that_changed_most_in_the_probability_of_their_class_come_first(workspace):
    images = numpy.arange(24)
    old, new = predict("old", images < 6, 0), predict("new", images >= 3, 1)
    right, wrong = gallery.find_disagreements(old, new)
    assert sorted(each.index for each in wrong) == [0, 1, 2]
    assert {each.index for each in right} <= set(range(6, 24))
    assert len(right) == gallery.ROWS * gallery.COLUMNS
    labels = old.predictions[0].labels
    shifts = [
        (new.predictions[0].probabilities - old.predictions[0].probabilities)[i, labels[i]]
        for i in range(24)
    ]
    expected = sorted(range(6, 24), key=lambda i: -shifts[i])[: len(right)]
    assert [each.index for each in right] == expected


def test_a_caption_has_the_true_class_and_both_predictions(workspace):
    images = numpy.arange(24)
    old, new = predict("old", images < 1, 0), predict("new", images < 0, 1)
    (found,) = gallery.find_disagreements(old, new)[1]
    classes, before, after = (
        old.predictions[0].classes,
        *(each.predictions[0] for each in (old, new)),
    )
    names = [
        classes[before.labels[0]],
        f"{classes[before.predicted[0]]} {before.probabilities[0].max():.2f}",
        f"{classes[after.predicted[0]]} {after.probabilities[0].max():.2f}",
    ]
    lines = found.caption.splitlines()
    assert lines == [f"true: {names[0]}", f"old: {names[1]}", f"new: {names[2]}"]


def test_the_images_read_are_those_that_were_predicted(workspace):
    found = predict("run", numpy.arange(24) < 6, 0)
    run = found.candidate.run_or_family
    images = gallery.read_images(found, "test", [5, 0, 23])
    # The synthetic store has brighter images for higher classes, and the test split in this order.
    labels = predictions.load(run, "test").labels[[5, 0, 23]]
    assert numpy.argsort(images.mean(axis=(1, 2, 3))).tolist() == numpy.argsort(labels).tolist()


def test_the_images_of_folds_are_those_of_each_folds_test_split(workspace):
    family = make_family(Path("folds"), [numpy.arange(24) < 6, numpy.arange(24) < 9], "fold")
    found = PredictedCandidate(
        Candidate(family, family.experiment), [predictions.load(run, "test") for run in family.runs]
    )
    alone = predict("run", numpy.arange(24) < 6, 0)
    expected = gallery.read_images(alone, "test", [1, 2])
    assert (gallery.read_images(found, "test", [1, 24 + 2]) == expected).all()


def test_the_figure_of_classes_says_how_many_of_those_that_changed_it_shows():
    found = [
        ClassDifference(
            name=str(i),
            images=99,
            old=0.0,
            new=0.0,
            difference=0.0,
            gained=float(i),
            lost=0.0,
            p_value=None,
        )
        for i in range(50)
    ]
    with _style.apply_style():
        few, many = drawings.draw_classes(found[:20]), drawings.draw_classes(found[::-1])
    titles = [figure.axes[0].get_title("left") for figure in (few, many)]
    assert titles[0].endswith(": 19 of 20 classes")
    assert titles[1].endswith(": 30 of 50 classes, the most changed")
    names = [label.get_text() for label in many.axes[0].get_yticklabels()]
    assert names == [str(i) for i in range(49, 19, -1)]


# The curves.


def test_a_run_without_validation_has_the_curves_of_training(workspace):
    run = make_compared(Path("run"))
    lines = run.log_file.read_text()
    run.log_file.write_text(re.sub(r'"(val_\w+)": [\d.]+', r'"\1": null', lines))
    with _style.apply_style():
        figure = drawings.draw_curves({"old": Candidate(run, run.experiment)})
    loss, accuracy = figure.axes
    assert loss.get_title("left") == "Training loss"
    assert accuracy.lines[0].get_ydata().tolist() == [epoch.accuracy for epoch in run.log]


def test_a_family_has_its_runs_and_their_mean_up_to_the_shortest(workspace):
    family = make_family(Path("family"), [numpy.arange(24) < 6, numpy.arange(24) < 9])
    log = family.runs[1].log_file
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:3]))
    with _style.apply_style():
        figure = drawings.draw_curves({"new": Candidate(family, family.experiment)})
    lengths = [len(line.get_ydata()) for line in figure.axes[0].lines]
    assert lengths == [3, 5, 3]
    first, second = (Run(run.folder).log for run in family.runs)
    mean = [(a.val_loss + b.val_loss) / 2 for a, b in zip(first, second, strict=False)]
    assert figure.axes[0].lines[0].get_ydata() == pytest.approx(mean)
