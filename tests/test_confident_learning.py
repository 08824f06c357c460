"""Suspected labels are those of the paper and of its authors' library, and include flipped ones."""

import numpy
import pytest
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from imgcls.audit import confident_learning
from imgcls.audit.label_errors import RELIABLE_ACCURACY


def draw(seed, images, classes, flipped, sharpness):
    """Return true labels, noisy labels of which a fraction is wrong, and probabilities."""
    random = numpy.random.default_rng(seed)
    true = random.integers(0, classes, images)
    noisy = numpy.where(
        random.random(images) < flipped,
        (true + 1 + random.integers(0, classes - 1, images)) % classes,
        true,
    )
    logits = random.normal(size=(images, classes))
    logits[numpy.arange(images), true] += sharpness
    probabilities = numpy.exp(logits)
    return true, noisy, probabilities / probabilities.sum(axis=1, keepdims=True)


def rank_suspects(probabilities, labels):
    """Return the suspected images, the most likely errors first."""
    suspected = numpy.flatnonzero(
        confident_learning.suggest_labels(probabilities, labels) != labels
    )
    return suspected[
        numpy.argsort(
            confident_learning.compute_margins(probabilities, labels)[suspected], kind="stable"
        )
    ]


# cleanlab 2.9.0: find_label_issues(noisy, probabilities, filter_by="confident_learning",
# return_indices_ranked_by="normalized_margin")
CLEANLAB = [
    ((0, 60, 3, 0.1, 2.0), 2, [23, 18]),
    ((1, 500, 5, 0.1, 2.0), 62, [25, 372, 79, 299, 467, 169, 309, 15, 48, 233]),
    ((2, 2000, 10, 0.2, 3.0), 299, [1004, 1491, 1160, 697, 1960, 52, 1696, 1157, 1621, 520]),
    ((3, 200, 7, 0.1, 0.5), 146, [11, 133, 86, 54, 76, 142, 62, 192, 108, 121]),
]


@pytest.mark.parametrize(("arguments", "count", "likeliest"), CLEANLAB)
def test_the_suspected_labels_and_their_order_are_cleanlabs(arguments, count, likeliest):
    _, noisy, probabilities = draw(*arguments)
    found = rank_suspects(probabilities, noisy)
    assert len(found) == count
    assert found[: len(likeliest)].tolist() == likeliest


def test_a_threshold_is_the_mean_probability_of_a_class_on_its_own_images():
    probabilities = numpy.array([[0.9, 0.1, 0.0], [0.7, 0.3, 0.0], [0.4, 0.6, 0.0]])
    numpy.testing.assert_allclose(
        confident_learning.compute_thresholds(probabilities, numpy.array([0, 0, 1])),
        [0.8, 0.6, numpy.inf],
    )


def test_a_label_is_suspected_if_another_class_reaches_its_threshold():
    probabilities = numpy.array(
        [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.1, 0.9], [0.45, 0.55]]
    )
    labels = numpy.array([0, 0, 1, 1, 0, 0])
    assert confident_learning.compute_thresholds(probabilities, labels).tolist() == pytest.approx(
        [0.5625, 0.85]
    )
    assert confident_learning.suggest_labels(probabilities, labels).tolist() == [0, 0, 1, 1, 1, 0]
    assert confident_learning.compute_margins(probabilities, labels).tolist() == pytest.approx(
        [0.8, 0.6, 0.8, 0.6, -0.8, -0.1]
    )


def test_a_class_without_images_is_never_suggested():
    _, noisy, probabilities = draw(0, 200, 3, 0.1, 2.0)
    with_empty = numpy.concatenate([probabilities * 0.5, numpy.full((200, 1), 0.5)], axis=1)
    assert 3 not in confident_learning.suggest_labels(with_empty, noisy)


def test_flipped_labels_are_found():
    """One label in ten is wrong, and a nearly perfect model finds 94 % of them and nothing else.

    So does cleanlab.
    """
    true, noisy, probabilities = draw(7, 5000, 10, 0.1, 6.0)
    assert (probabilities.argmax(axis=1) == true).mean() > 0.99
    suspected, wrong = (
        confident_learning.suggest_labels(probabilities, noisy) != noisy,
        noisy != true,
    )
    precision, recall = (
        (suspected & wrong).sum() / suspected.sum(),
        (suspected & wrong).sum() / wrong.sum(),
    )
    assert precision == 1.0
    assert recall == pytest.approx(0.9355, abs=1e-4)
    assert (noisy != true)[rank_suspects(probabilities, noisy)[:100]].all()


def test_flipped_labels_of_real_digits_are_found_from_predictions_out_of_fold():
    """One label in 20 is wrong: precision 0.88 ± 0.03, recall 0.72 ± 0.03 (10 seeds).

    The model is linear and right on 92 % of the digits.
    """
    digits, random = load_digits(), numpy.random.default_rng(0)
    wrong = random.random(len(digits.target)) < 0.05
    noisy = numpy.where(
        wrong, (digits.target + random.integers(1, 10, len(wrong))) % 10, digits.target
    )
    model = LogisticRegression(max_iter=500, C=0.3)
    probabilities = cross_val_predict(model, digits.data / 16, noisy, cv=5, method="predict_proba")
    suspected = confident_learning.suggest_labels(probabilities, noisy) != noisy
    assert (suspected & wrong).sum() / suspected.sum() >= 0.8
    assert (suspected & wrong).sum() / wrong.sum() >= 0.63


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize(("noise", "reliable"), [(0.5, True), (3.0, False)])
def test_below_the_reliable_accuracy_most_suspects_are_mistakes_of_the_model(
    classes, noise, reliable
):
    """One label in 20 is wrong; classes are normal distributions, and the model is linear."""
    random = numpy.random.default_rng(0)
    dimensions = {2: 5, 10: 10, 100: 30}[classes]
    true = random.integers(0, classes, 3000)
    centers = 1.3 * random.normal(size=(classes, dimensions))
    points = centers[true] + noise * random.normal(size=(len(true), dimensions))
    wrong = random.random(len(true)) < 0.05
    noisy = numpy.where(wrong, (true + random.integers(1, classes, len(true))) % classes, true)
    model = LinearDiscriminantAnalysis()
    probabilities = cross_val_predict(model, points, noisy, cv=5, method="predict_proba")
    accuracy = (probabilities.argmax(axis=1) == noisy).mean()
    suspected = confident_learning.suggest_labels(probabilities, noisy) != noisy
    precision = (suspected & wrong).sum() / suspected.sum()
    assert (accuracy >= RELIABLE_ACCURACY, precision > 0.5) == (reliable, reliable)
