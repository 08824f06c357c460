"""Every figure stays legible from 3 to 100 classes."""

from pathlib import Path

import pytest
from compression_tables import write_table
from figure_drawing import draw, drawn
from matplotlib.axes import Axes
from PIL import Image
from synthetic_run import make_run

from imgcls import parts
from imgcls.figures import _style
from imgcls.run import Run

FLIP = [{"name": "random_flip"}]


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


@pytest.mark.parametrize("name", parts.list_names("figures"))
def test_tick_labels_do_not_overlap_and_the_picture_has_a_sensible_size(
    evaluated_run: Run, name: str, tmp_path: Path
):
    figure = drawn(evaluated_run, name)
    assert [overlaps(axes) for axes in figure.axes] == [[] for _ in figure.axes]
    with _style.apply_style():
        _style.save_figure(figure, tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as picture:
        assert 500 <= picture.width <= 2000
        assert 150 <= picture.height <= 2500


@pytest.mark.parametrize("name", parts.list_names("figures"))
def test_no_text_is_read_as_a_formula(evaluated_run: Run, name: str):
    texts = drawn(evaluated_run, name).findobj(lambda artist: hasattr(artist, "get_parse_math"))
    assert texts
    assert not any(text.get_parse_math() for text in texts)


@pytest.mark.parametrize("name", parts.list_names("figures"))
def test_one_image_a_class_and_one_epoch_are_enough(name: str, tmp_path: Path):
    run = make_run(tmp_path / "run", classes=4, per_class=1, epochs=1, augment=FLIP)
    write_table(run)
    assert all(axes.has_data() for axes in draw(run, name).axes)


@pytest.mark.parametrize("name", parts.list_names("figures"))
def test_the_docstring_opens_with_a_caption(name: str):
    caption = parts.summarize(parts.load("figures", name))
    assert caption.endswith(".")
    assert "zone" not in caption
    assert ": " in caption


@pytest.mark.parametrize("name", parts.list_names("figures"))
def test_a_sentence_says_how_to_read_the_figure(name: str):
    sentence = parts.load("figures", name).HOW_TO_READ
    assert sentence.endswith(".")
    assert 40 < len(sentence) < 200
