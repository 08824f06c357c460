"""The solution of the logistic regression, which scikit-learn agrees with."""

import numpy
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from test_linear_probe import load_samples, one_thread, softmax

from imgcls.transfer import logistic_regression

__all__ = ["one_thread"]  # a fixture of every test here


@pytest.mark.parametrize("weighted", [False, True])
def test_the_folded_solution_gives_the_probabilities_of_scikit_learn(weighted):
    features, labels = load_samples()
    weights = numpy.linspace(0.5, 1.5, len(labels)) if weighted else None
    start = logistic_regression.make_start(features, 10)
    found = logistic_regression.fit(features, labels, 0.01, start, weights, tolerance=1e-8)
    kernel, bias = found.fold_scaler()
    scaled = StandardScaler().fit_transform(features.astype(numpy.float64))
    oracle = LogisticRegression(C=1 / (0.01 * len(labels)), tol=1e-9, max_iter=10_000)
    expected = oracle.fit(scaled, labels, weights).predict_proba(scaled)
    assert softmax(features @ kernel + bias) == pytest.approx(expected, abs=1e-5)
    assert softmax(found.compute_logits(features)) == pytest.approx(expected, abs=1e-5)


def test_blocks_of_rows_give_the_same_solution(monkeypatch):
    features, labels = load_samples(100)
    start = logistic_regression.make_start(features, 10)
    whole = logistic_regression.fit(features, labels, 0.1, start)
    monkeypatch.setattr(logistic_regression, "_MAX_BLOCK_BYTES", 8 * 64 * 7)
    monkeypatch.setattr(logistic_regression, "_MAX_CACHED_BYTES", 0)
    blocks = logistic_regression.make_start(features, 10)
    assert blocks.scaler.std == pytest.approx(start.scaler.std)
    found = logistic_regression.fit(features, labels, 0.1, blocks)
    assert found.kernel == pytest.approx(whole.kernel, abs=1e-5)


def test_a_constant_feature_and_a_class_without_images_do_no_harm():
    features, labels = load_samples(100)
    features[:, 5] = 7
    found = logistic_regression.fit(
        features, labels, 0.1, logistic_regression.make_start(features, 11)
    )
    probabilities = softmax(found.compute_logits(features))
    assert numpy.isfinite(probabilities).all()
    assert probabilities[:, 10].max() < 0.01
    assert (found.kernel[5] == 0).all()
