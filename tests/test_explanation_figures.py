"""The figures of explanations, for images of all shapes, and names as they come."""

import io
import warnings

import numpy
import pytest
from synthetic_explanations import make_importance, make_scores
from synthetic_run import class_names

from imgcls.explanation import drawings, importance_drawing
from imgcls.explanation.record import ExplainedImage
from imgcls.figures import _style

NAMES = class_names(20)


def render(make):
    """Draw a figure with every warning an error, and return its texts."""
    with warnings.catch_warnings(), _style.apply_style():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = make()
        figure.savefig(io.BytesIO(), dpi=60)
    labels = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        labels += [axes.get_title("left"), *(text.get_text() for text in axes.texts)]
    return " ".join(" ".join(labels).split())


@pytest.mark.parametrize(
    ("count", "shape"), [(1, (8, 8, 1)), (2, (30, 12, 3)), (30, (8, 24, 4)), (5, (1, 1, 3))]
)
def test_a_sheet_has_pictures_of_any_shape_with_class_and_probability(count, shape):
    random = numpy.random.default_rng(0)
    pixels = random.integers(0, 256, (count, *shape), numpy.uint8)
    maps = random.normal(size=(count, *shape[:2])).astype(numpy.float32)
    maps[0] = 0
    images = [
        ExplainedImage(id=str(i), predicted=NAMES[i % 20], probability=0.25, label=NAMES[0])
        for i in range(count)
    ]
    texts = render(lambda: drawings.draw_sheet(pixels, maps, images, make_scores(count), True))
    assert texts.count("0.25") == min(count, 24)
    assert texts.count("true:") == min(count, 24) - len(range(0, min(count, 24), 20))
    assert "Occlusion marks what the prediction depends on" in texts
    assert ("24 of 30 images" in texts) == (count == 30)


@pytest.mark.parametrize("gain", [0.2, 0.0])
@pytest.mark.parametrize("similarity", [0.1, 0.9])
def test_the_figure_of_scores_says_what_they_mean(gain, similarity):
    texts = render(lambda: drawings.draw_scores(make_scores(64, gain, similarity)))
    assert f"in {'both scores' if gain else 'neither score'}" in texts
    assert f"They {'depend' if similarity == 0.1 else 'hardly depend'} on the weights" in texts


@pytest.mark.parametrize("classes", [1, 3, 20])
def test_mean_maps_have_the_names_of_their_classes(classes):
    maps = numpy.random.default_rng(0).random((classes, 9, 7))
    texts = render(lambda: drawings.draw_regions(maps, make_scores(64, regions=NAMES[:classes])))
    assert texts.count("40% in the middle") == classes
    assert "Occlusion: 40% of the mass lies in the middle quarter" in texts


@pytest.mark.parametrize("shape", [(8, 8, 1), (32, 64, 3), (2, 3, 5)])
def test_importance_has_a_bar_or_a_cell_for_each_feature(shape):
    made = make_importance(shape)
    texts = render(lambda: importance_drawing.draw_importance(made, "test split, 9 images"))
    assert "It is so (test split, 9 images)" in texts
    assert texts.count("0.125") >= min(shape[0], 4) * min(shape[1], 4)
