"""The map of features: neighbors stay neighbors, the file says what it is of, and the page shows
pictures.
"""

import re
from pathlib import Path

import numpy
import pytest
from figure_drawing import draw
from html_page import Page
from sklearn.metrics import pairwise_distances
from synthetic_run import make_embedding, make_run

from imgcls.config import Evaluate
from imgcls.evaluation import embedding
from imgcls.figures import NotDrawableError
from imgcls.report import hover_map
from imgcls.verbs.plot import plot


def make_features(count: int = 60) -> numpy.ndarray:
    """Return features of three groups that lie far apart."""
    generator = numpy.random.default_rng(0)
    centers = 20 * numpy.eye(3, 8)[numpy.arange(count) % 3]
    return (centers + generator.normal(size=(count, 8))).astype(numpy.float32)


def test_pca_is_the_projection_with_the_largest_variance():
    features = make_features()
    pca, _ = embedding.project(features, 0)
    centered = features - features.mean(axis=0)
    _, _, directions = numpy.linalg.svd(centered, full_matrices=False)
    expected = centered @ directions[:2].T
    assert abs(pca) == pytest.approx(abs(expected), abs=1e-3)


def test_tsne_keeps_groups_together_and_is_the_same_each_time():
    features = make_features()
    _, tsne = embedding.project(features, 3)
    nearest = embedding.find_nearest(tsne)
    assert (nearest % 3 == numpy.arange(60) % 3).all()
    assert (embedding.project(features, 3)[1] == tsne).all()


@pytest.mark.parametrize("count", [3, 5, 11, 13])
def test_few_images_have_a_map_too(count):
    pca, tsne = embedding.project(make_features(count), 0)
    assert pca.shape == tsne.shape == (count, 2)
    assert numpy.isfinite(tsne).all()


def test_one_feature_is_enough():
    pca, _ = embedding.project(make_features()[:, :1], 0)
    assert (pca[:, 1] == 0).all()


def test_the_nearest_image_is_another_one():
    features = make_features()
    distances = pairwise_distances(features)
    numpy.fill_diagonal(distances, numpy.inf)
    assert (embedding.find_nearest(features) == distances.argmin(axis=1)).all()


@pytest.mark.parametrize("shape", [(8, 8, 1), (64, 32, 3), (20, 31, 4)], ids=str)
def test_thumbnails_are_the_middle_of_the_image_in_rgb(shape):
    image = numpy.zeros(shape, numpy.uint8)
    image[shape[0] // 2 :] = 200
    (thumbnail,) = embedding.make_thumbnails(image[None])
    assert thumbnail.shape == (32, 32, 3)
    assert (thumbnail[:12] == 0).all()
    assert (thumbnail[20:] == 200).all()


def test_a_map_of_two_images_is_refused():
    with pytest.raises(ValueError, match="greater than or equal to 3"):
        Evaluate.model_validate({"embedding": 2})


def test_the_title_says_how_often_the_nearest_image_is_of_the_same_class(tmp_path: Path):
    run = make_run(tmp_path / "run")
    assert draw(run, "embedding_map").get_suptitle().endswith("same class for 100.0% of 24 images")


def test_mistakes_are_ringed(tmp_path: Path):
    run = make_run(tmp_path / "run", classes=6)
    made = make_embedding(6, 8)
    wrong = int((made.labels != made.predicted).sum())
    for axes in draw(run, "embedding_map").axes:
        assert len(axes.collections) == 6 + 1
        assert len(axes.collections[-1].get_offsets()) == wrong > 0


def test_without_a_map_and_with_another_models_the_error_says_what_to_run(tmp_path: Path):
    run = make_run(tmp_path / "run")
    run.embedding_file("test").unlink()
    with pytest.raises(NotDrawableError, match=r"--set evaluate\.embedding=500"):
        draw(run, "embedding_map")


def test_the_page_has_a_point_for_each_image_and_one_picture_of_all(tmp_path: Path):
    run = make_run(tmp_path / "run", classes=7, figures=[{"name": "embedding_map"}])
    plot(run, run.experiment)
    page = Page(run.report_page)
    assert page.list_figures() == ["embedding_map", "hover_map"]
    circles = page.all("circle")
    assert [each["data-image"] for each in circles] == [str(i) for i in range(56)]
    made = make_embedding(7, 8)
    ringed = [each.get("class") == "wrong" for each in circles]
    assert ringed == (made.labels != made.predicted).tolist()
    (sprite,) = page.all("image")
    assert (sprite["width"], sprite["height"]) == ("1024", "64")
    assert sprite["href"].startswith("data:image/jpeg;base64,")
    assert "test/0/0: <b>&" in page.text  # a class name, as text
    assert not re.search(r"https?://", page.source.replace("http-equiv", ""))


def test_up_is_up_on_the_page_as_in_the_figure():
    places = hover_map._scale(numpy.array([[0.0, 0.0], [1.0, 2.0]]))
    assert places[0].tolist() == [15, 585]
    assert places[1].tolist() == [585, 15]
