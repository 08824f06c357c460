"""`imgcls compare` refuses what cannot be compared, and says why and what to do."""

from pathlib import Path

import numpy
import pytest
from compared_runs import change_predictions, make_pair
from experiments import change_json, command
from synthetic_run import make_run

from imgcls.evaluation import predictions
from imgcls.run import Run
from imgcls.verbs.compare import compare


@pytest.fixture
def pair(workspace) -> tuple[Run, Run]:
    """Two runs, `old` and `new`."""
    return make_pair()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["old"], "compare needs at least two runs or families, got 1"),
        (["old", "nothing"], "nothing"),
        (["old", "."], ". is not a run: it has no config.yaml"),
        (["old", "new", "--split", "tset"], "did you mean 'test'?"),
        (["old", "new", "--fail-if-worse", "acuracy=0.1"], "did you mean 'accuracy'?"),
        (["old", "new", "--fail-if-worse", "accuracy=-0.1"], "not a finite number from 0 on"),
        (["old", "new", "--fail-if-worse", "accuracy=nan"], "'nan' is not a finite number"),
        (["old", "new", "--fail-if-worse", "accuracy"], "needs the form METRIC=VALUE"),
        (["old", "new", "--set", "train.epochs=3"], "--set cannot change how old was trained"),
    ],
)
def test_a_wrong_command_line_ends_with_exit_code_2_and_writes_nothing(pair, arguments, message):
    exit_code, _, stderr = command("compare", *arguments)
    assert exit_code == 2
    assert message in stderr
    assert not Path("runs").exists()


def test_a_run_that_is_not_finished_is_named_with_what_to_run(pair):
    pair[1].write_status("interrupted")
    exit_code, _, stderr = command("compare", "old", "new")
    assert exit_code == 3
    assert "new is interrupted, not finished; run `imgcls train new/config.yaml" in stderr


def test_a_run_without_its_log_is_refused_with_what_restores_it(pair):
    pair[1].log_file.unlink()
    exit_code, _, stderr = command("compare", "old", "new")
    assert exit_code == 3
    assert "new has no log of its epochs; run the training command again" in stderr


def test_other_images_are_refused_with_the_number_that_is_shared(pair):
    ids = predictions.load(pair[1], "test").ids
    change_predictions(pair[1], ids=[f"other {i}" if i < 5 else name for i, name in enumerate(ids)])
    exit_code, _, stderr = command("compare", "old", "new")
    assert exit_code == 3
    assert "their splits differ; 19 image ids are in both, of 24 and 24" in stderr


def test_other_labels_are_refused(pair):
    labels = predictions.load(pair[1], "test").labels.copy()
    labels[0] = 2
    change_predictions(pair[1], labels=labels)
    exit_code, _, stderr = command("compare", "old", "new")
    assert exit_code == 3
    assert "the labels of 1 images differ, such as test/0/0;" in stderr


def test_another_store_with_the_same_ids_is_refused(pair):
    change_json(pair[1].data_file, fingerprint="f" * 64)
    exit_code, _, stderr = command("compare", "old", "new")
    assert exit_code == 3
    assert "ffffffffffff; 24 image ids are in both" in stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda names: names[::-1], "their classes are in another order"),
        (lambda names: [*names[:-1], "cat"], "'cat' is only in the second"),
    ],
)
def test_other_classes_are_refused(pair, change, message):
    classes = change(predictions.load(pair[1], "test").classes)
    change_predictions(pair[1], classes=classes)
    change_json(pair[1].data_file, classes=classes)
    exit_code, _, stderr = command("compare", "old", "new")
    assert exit_code == 3
    assert message in stderr


def test_certain_predictions_of_ten_images_are_compared(workspace):
    for number, name in enumerate(("old", "new")):
        run = make_run(Path(name), classes=2, per_class=5)
        labels = predictions.load(run, "test").labels
        certain = numpy.eye(2, dtype=numpy.float32)[(labels + number) % 2]
        change_predictions(run, probabilities=certain)
    found = compare([Path("old"), Path("new")]).comparisons[0]
    assert found.metrics[0].interval == (-1, -1)
    assert found.metrics[0].conclusion == "lower"
    assert found.agreement.p_value == pytest.approx(2 / 2**10)
