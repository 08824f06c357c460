"""`plot` writes what can be drawn, says what cannot, and gathers all of it in one page that needs
nothing else.
"""

import re
import shutil
from pathlib import Path

import pytest
from compression_tables import write_table
from html_page import Page
from PIL import Image
from synthetic_run import NASTY, make_run

from imgcls import parts
from imgcls.errors import DataError, UserError
from imgcls.figures import NotDrawableError
from imgcls.run import Run
from imgcls.verbs import evaluate
from imgcls.verbs.plot import plot

LIGHT = ["learning_curves", "roc"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(
        tmp_path / "run",
        classes=len(NASTY),
        evaluate={"bootstrap_samples": 100},
        figures=[{"name": name} for name in LIGHT],
    )


# Which figures.


def test_the_experiments_figures_are_drawn_and_then_the_page(run: Run):
    assert plot(run, run.experiment, None) == [
        *[run.figure_file(name) for name in LIGHT],
        run.report_page,
    ]
    assert sorted(path.name for path in run.report_page.parent.iterdir()) == [
        *["learning_curves.png", "learning_curves.svg", "report.html", "roc.png", "roc.svg"]
    ]
    for name in LIGHT:
        with Image.open(run.figure_file(name)) as picture:
            picture.verify()


def test_without_a_list_every_figure_is_drawn_and_what_cannot_be_is_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    run = make_run(tmp_path / "run")
    run.predictions_file("test").unlink()
    run.robustness_file("test").unlink()
    shutil.rmtree(run.explanations_folder)
    drawn = {path.stem for path in plot(run, run.experiment, None)[:-1]}
    assert drawn == {
        *("learning_curves", "learning_rate", "timing"),
        *("class_distribution", "sample_grid", "first_layer_filters"),
    }
    notes = capsys.readouterr()
    assert notes.out == ""
    missing = re.findall(r"^note: no (\w+): ", notes.err, flags=re.MULTILINE)
    of_this_kind = [name for name in parts.list_names("figures") if name != "compression"]
    assert missing == [name for name in of_this_kind if name not in drawn]


def test_a_run_copied_without_its_store_still_has_its_other_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    run = make_run(tmp_path / "run", figures=[{"name": "sample_grid"}, {"name": "roc"}])
    shutil.rmtree(tmp_path / "data")
    assert [path.stem for path in plot(run, run.experiment, None)] == ["roc", "report"]
    assert "note: no sample_grid: the run's data" in capsys.readouterr().err
    with pytest.raises(DataError, match="the run's data"):
        plot(run, run.experiment, ["sample_grid"])


def test_named_figures_are_drawn_once_each_in_the_order_given(run: Run):
    assert [
        path.stem for path in plot(run, run.experiment, ["calibration", "roc", "calibration"])
    ] == ["calibration", "roc", "report"]


def test_a_named_figure_that_cannot_be_drawn_is_an_error(run: Run):
    run.predictions_file("test").unlink()
    with pytest.raises(NotDrawableError, match="imgcls eval"):
        plot(run, run.experiment, ["roc"])


def test_every_unknown_name_is_reported_with_a_guess(run: Run):
    with pytest.raises(UserError) as error:
        plot(run, run.experiment, ["rok", "roc", "sample_gird"])
    first, second = str(error.value).splitlines()
    assert first.startswith("unknown figure 'rok'; allowed: augmented_samples, ")
    assert first.endswith("(did you mean 'roc'?)")
    assert second.endswith("(did you mean 'sample_grid'?)")
    assert not run.report_page.exists()


def test_a_named_figure_keeps_the_experiments_settings_of_it(tmp_path: Path):
    sizes = []
    for rows in (1, 3):
        run = make_run(tmp_path / f"{rows}", figures=[{"name": "sample_grid", "rows": rows}])
        plot(run, run.experiment, ["sample_grid"])
        with Image.open(run.figure_file("sample_grid")) as picture:
            sizes.append(picture.height)
    assert sizes[0] < sizes[1]


def test_the_same_run_gives_the_same_bytes(run: Run):
    plot(run, run.experiment, None)
    files = [run.figure_file(name, suffix) for name in LIGHT for suffix in ("png", "svg")]
    before = [file.read_bytes() for file in files]
    page = run.report_page.read_bytes()
    plot(run, run.experiment, None)
    assert [file.read_bytes() for file in files] == before
    assert run.report_page.read_bytes() == page


def test_a_character_without_glyph_is_one_note_and_no_warning(
    tmp_path: Path, capfd: pytest.CaptureFixture, recwarn: pytest.WarningsRecorder
):
    run = make_run(tmp_path / "run", figures=[{"name": "class_distribution"}])
    run.data_file.write_text(run.data_file.read_text().replace("_hidden", "\U0010fffd"))
    capfd.readouterr()
    plot(run, run.experiment, None)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("note: no installed font has the characters \\U0010fffd ")
    assert not recwarn.list


# The page.


@pytest.fixture
def page(run: Run) -> Page:
    evaluate.evaluate(run, run.experiment, "test")
    plot(run, run.experiment, None)
    return Page(run.report_page)


def test_the_page_needs_nothing_else(page: Page):
    assert {tag for tag, _ in page.tags}.isdisjoint({"link", "iframe", "object", "form"})
    assert page.all("script") == [{}]  # without a source
    assert all(link["href"].startswith("#") for link in page.all("a"))
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
    assert not re.search(r"https?://|url\(|@import", page.source)


def test_the_page_shows_every_figure_of_the_run_with_a_description(page: Page):
    assert [figure["id"] for figure in page.all("figure")] == LIGHT
    captions = [parts.summarize(parts.load("figures", name)) for name in LIGHT]
    assert [image["alt"] for image in page.all("img")] == captions
    assert all(caption in page.text for caption in captions)


def test_a_figure_drawn_earlier_stays_on_the_page(run: Run, page: Page):
    plot(run, run.experiment, ["calibration"])
    assert [figure["id"] for figure in Page(run.report_page).all("figure")] == [
        *LIGHT,
        "calibration",
    ]


def test_class_names_are_text_and_never_markup(page: Page):
    assert "b" not in {tag for tag, _ in page.tags}
    for name in NASTY[:-1]:
        assert name in page.text
    assert "\udcff" not in page.source


def test_the_page_gives_the_metrics_with_their_intervals_and_each_class(run: Run, page: Page):
    summary = evaluate.evaluate(run, run.experiment, "test")
    low, high = summary.intervals["accuracy"]
    for text in (
        f"{summary.metrics['accuracy']:.4f}",
        f"[{low:.4f}, {high:.4f}]",
        f"{summary.per_class['f1'][2]:.4f}",
    ):
        assert text in page.text


def test_the_page_gives_the_log_the_data_and_the_configuration(run: Run, page: Page):
    assert "Log: 5 epochs" in page.text
    assert "finished" in page.text
    assert run.data.fingerprint in page.text
    assert run.config_file.read_text() in page.text


def test_a_run_that_failed_before_its_first_epoch_has_a_page_with_the_reason(tmp_path: Path):
    run = make_run(tmp_path / "run", figures=[])
    run.log_file.unlink()
    run.data_file.unlink()
    run.write_status("failed", step=0, exit_code=4, reason="the loss is not finite & that's <bad>")
    plot(run, run.experiment, None)
    assert "the loss is not finite & that's <bad>" in Page(run.report_page).text


def test_the_page_of_a_compressed_run_shows_how_it_differs_from_its_original(tmp_path: Path):
    run = make_run(tmp_path / "run", figures=[{"name": "compression"}])
    write_table(run, milliseconds_64=9.0)
    plot(run, run.experiment, None)
    page = Page(run.report_page)
    assert [figure["id"] for figure in page.all("figure")] == ["compression"]
    for text in ("compressed from a by fold", "wilson interval", "peak_memory_mib", "slower"):
        assert text in page.text
    run.model_file.write_bytes(b"another model")
    plot(run, run.experiment, None)
    assert "run was not compared with its original" in Page(run.report_page).text
