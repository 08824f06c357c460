"""Weights of classes in the training loss, and what they leave as it is."""

import numpy
import pytest
from experiments import MIRRORED, SGD, experiment, weights
from sklearn.utils.class_weight import compute_class_weight

from imgcls.backend import tf
from imgcls.errors import UserError
from imgcls.run import Run
from imgcls.training.class_weights import compute_class_weights, weight_rows
from imgcls.verbs.train import train

LABELS = numpy.array([0, 0, 0, 0, 1, 2, 2, 0])
CLASSES = ["cat", "dog", "owl"]


def compute(tmp_path, value, classes=CLASSES, *more):
    settings = experiment(tmp_path, f"train.class_weights={value}", *more)
    return compute_class_weights(settings.train, classes, LABELS)


def test_balanced_weights_are_those_of_scikit_learn(tmp_path):
    expected = compute_class_weight("balanced", classes=numpy.arange(3), y=LABELS)
    numpy.testing.assert_allclose(compute(tmp_path, "balanced"), expected, rtol=1e-12)
    # A class that the training split does not have is left out, as scikit-learn does.
    found = compute(tmp_path, "balanced", [*CLASSES, "yak"])
    numpy.testing.assert_allclose(found[:3], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("given", "relative"),
    [("{dog: 5}", [1, 5, 1]), ("{cat: 0.5, owl: 3, dog: 2.5}", [0.5, 2.5, 3])],
)
def test_given_weights_have_a_mean_of_1_over_the_training_images(tmp_path, capsys, given, relative):
    found = compute(tmp_path, given)
    numpy.testing.assert_allclose(found / found[0], numpy.array(relative) / relative[0])
    assert found[LABELS].mean() == pytest.approx(1)
    assert "train.class_weights: from" in capsys.readouterr().err


def test_no_weights_are_made_unless_they_are_asked_for(tmp_path, capsys):
    assert compute(tmp_path, "null") is None
    assert capsys.readouterr().err == ""


def test_an_unknown_class_is_an_error_that_lists_the_classes(tmp_path):
    with pytest.raises(UserError, match=r"class_weights has bird, emu, which.*cat, dog, owl"):
        compute(tmp_path, "{dog: 5, emu: 2, bird: 1}")


@pytest.mark.parametrize("value", ["even", "{dog: 0}", "{dog: -1}", "2.0", "{dog: much}"])
def test_other_values_are_refused(tmp_path, value):
    with pytest.raises(UserError, match=r"class_weights: is .*, but must be balanced, or"):
        experiment(tmp_path, f"train.class_weights={value}")


def test_weights_and_sampling_by_class_are_noted(tmp_path, capsys):
    compute(tmp_path, "balanced", CLASSES, "train.sampling={by: class}")
    assert "both give rare classes more weight" in capsys.readouterr().err


def test_a_mixed_target_has_the_expected_weight():
    of_classes = numpy.array([0.5, 2.0, 1.0])
    mixed = numpy.array([[0.25, 0.75, 0], [0, 0, 1]], numpy.float32)
    found = weight_rows(of_classes, tf.constant(mixed), tf.float64)
    numpy.testing.assert_allclose(found, [0.25 * 0.5 + 0.75 * 2, 1])
    found = weight_rows(of_classes, tf.constant([1, 0]), tf.float32)
    numpy.testing.assert_allclose(found, [2.0, 0.5])


def test_weights_change_the_training_but_not_what_the_loss_in_the_log_means(digits, tmp_path):
    """With a learning rate of nearly 0, the loss is that of the same weights."""
    shared = ("train.epochs=1", "model.dropout=0", "train.precision=float64")
    tiny = f"train.optimizer={SGD % 1e-12}"
    heavy = "train.class_weights={'3': 100}"
    runs = {}
    for name, more in {
        "plain": (tiny,),
        "weighted": (tiny, heavy),
        "trained": (f"train.optimizer={SGD % 0.1}", heavy),
    }.items():
        train(digits(*shared, *more), tmp_path / name)
        runs[name] = Run(tmp_path / name)
    assert runs["plain"].log[0].loss == pytest.approx(runs["weighted"].log[0].loss, rel=1e-6)
    assert runs["plain"].log[0].val_loss == pytest.approx(
        runs["weighted"].log[0].val_loss, rel=1e-6
    )
    bias = weights(runs["trained"])[-1]
    assert bias.argmax() == 3  # nearly all of the weight is on this class


@pytest.mark.full
def test_two_devices_weight_classes_as_one_does_with_mixed_images(digits, tmp_path):
    shared = ("train.epochs=1", "model.dropout=0", "train.precision=float64", "augment=[mixup]")
    found = []
    for name, more in (("one", ()), ("two", (MIRRORED,))):
        train(digits(*shared, "train.class_weights=balanced", *more), tmp_path / name)
        found.append(weights(Run(tmp_path / name)))
    for one, two in zip(*found, strict=True):
        numpy.testing.assert_allclose(one, two, rtol=1e-10, atol=1e-12)
