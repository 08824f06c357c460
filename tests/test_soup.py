"""The greedy soup of the best epochs' weights."""

import shutil
from pathlib import Path

import numpy
import pytest
from experiments import SGD, TINY, assert_same_result, command, weights, write_experiment

from imgcls.errors import Interrupted, UserError
from imgcls.run import Run
from imgcls.training import checkpoint_file, history
from imgcls.training.model_description import read_description
from imgcls.training.soup import make_greedy_soup
from imgcls.verbs import train

SETTINGS = (
    "train.select_weights=soup",
    "train.soup={checkpoints: 3}",
    "train.epochs=6",
    f"train.optimizer={SGD % 0.05}",
    "train.calibration=none",
    "model.dropout=0.0",
)


class Variable:
    """Holds what is assigned to it, as a Keras variable."""

    def assign(self, value):
        self.value = numpy.asarray(value)


def make_soup(values, target, monitor="val_loss"):
    """Return the soup of epochs 1, 2, ... with one weight each, whose loss is its distance from a
    target.
    """
    variable, counter = Variable(), Variable()
    soup = make_greedy_soup(
        list(range(1, len(values) + 1)),
        lambda epoch: [
            numpy.array([values[epoch - 1]], numpy.float32),
            numpy.array(epoch, numpy.uint32),
        ],
        [variable, counter],
        lambda: (abs(float(variable.value[0]) - target), -abs(float(variable.value[0]) - target)),
        monitor,
    )
    assert counter.value == 1  # of the best epoch
    return soup, float(variable.value[0])


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
@pytest.mark.parametrize(
    ("values", "epochs", "average"),
    [
        ([1.0, 3.0, 9.0], [1, 2], 2.0),  # 2 is the target; with 9, it would be 4.33
        ([1.0, -1.0, 3.0], [1, 3], 2.0),  # with -1, it would be 0
        ([2.0, 2.0, 2.0], [1, 2, 3], 2.0),  # not worse is enough
        ([2.0, 5.0, 6.0], [1], 2.0),
    ],
)
def test_an_epoch_goes_in_if_validation_does_not_get_worse(values, epochs, average, monitor):
    soup, value = make_soup(values, target=2.0, monitor=monitor)
    assert (soup.epochs, value) == (epochs, average)
    assert soup.val_loss == 0


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory):
    """A folder with a finished run whose weights are a soup."""
    folder = tmp_path_factory.mktemp("soup")
    content = {**TINY, "data": {"name": "digits", "store_dir": str(prepared / "data")}}
    path = write_experiment(folder, content)
    overrides = [word for each in SETTINGS for word in ("--set", each)]
    exit_code, _, error = command("train", path, "--run", folder / "run", *overrides)
    assert exit_code == 0, error
    return folder


def test_the_model_is_the_average_of_the_epochs_that_went_in(copied):
    run = Run(Path("run"))
    soup = read_description(run.model_file).soup
    kept = history.rank_kept_epochs(run.log, run.experiment.train)
    assert soup.epochs == [epoch for epoch in kept if epoch in soup.epochs]
    assert soup.epochs[0] == history.find_best_epoch(run.log, "val_accuracy")
    assert len(soup.epochs) > 1
    files = [checkpoint_file.read(run.best_weights_file(epoch))[1] for epoch in soup.epochs]
    for name, value in zip(files[0], weights(run), strict=True):
        average = numpy.mean([each[name].astype(numpy.float64) for each in files], axis=0)
        numpy.testing.assert_allclose(value, average, rtol=1e-6)


def test_the_results_of_the_soup_are_those_of_the_model(copied):
    run = Run(Path("run"))
    soup = read_description(run.model_file).soup
    assert command("eval", "run", "--split", "validation")[0] == 0
    metrics = run.read_evaluation("validation").metrics
    assert metrics["accuracy"] == pytest.approx(soup.val_accuracy)
    assert metrics["log_loss"] == pytest.approx(soup.val_loss, rel=1e-5)
    best = run.log[soup.epochs[0] - 1]
    assert soup.val_accuracy >= best.val_accuracy


def test_the_summary_names_the_epochs_of_the_soup(copied):
    summary = train.summarize(Run(Path("run")))
    soup = read_description(Run(Path("run")).model_file).soup
    assert summary["soup"] == soup.model_dump()
    assert summary["selected"]["epoch"] == soup.epochs[0]
    lines = [line.split() for line in train.format_summary(summary).splitlines()]
    assert ["soup", "+".join(map(str, soup.epochs))] in [line[:2] for line in lines]


def test_only_the_weights_of_the_best_epochs_are_kept(copied):
    run = Run(Path("run"))
    needed = {
        epoch
        for end in (5, 6)
        for epoch in history.rank_kept_epochs(run.log[:end], run.experiment.train)
    }
    assert {path.name for path in run.best_weights_files()} == {
        f"best-{epoch}.npz" for epoch in needed
    }


def test_a_soup_that_was_stopped_is_made_again_with_the_same_bits(copied, monkeypatch):
    from imgcls.training.epoch_end import EpochEnd

    whole, experiment = Run(Path("run")), Run(Path("run")).experiment
    shutil.copytree("run", "again")
    again = Run(Path("again"))
    again.model_file.unlink()
    again.write_status("running", step=36)
    evaluate, calls = EpochEnd.evaluate, []

    def interrupt(self, *arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return evaluate(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(EpochEnd, "evaluate", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train.train(experiment, again.folder)
    assert not again.model_file.exists()
    train.train(experiment, again.folder)
    assert_same_result(whole, again)


@pytest.mark.full
def test_the_time_limit_ends_between_two_evaluations_of_a_soup(copied):
    experiment = Run(Path("run")).experiment
    again = Run(Path("run"))
    before = again.model_file.read_bytes()
    again.model_file.unlink()
    again.write_status("running", step=36)
    settings = experiment.model_copy(
        update={"train": experiment.train.model_copy(update={"time_limit": parse("0.001s")})}
    )
    with pytest.raises(Interrupted, match=r"train\.time_limit of 0\.001s at step 36; the state is"):
        train.train(settings, again.folder)
    train.train(experiment, again.folder)
    assert again.model_file.read_bytes() == before


def parse(text):
    from imgcls.durations import parse_duration

    return parse_duration(text)


@pytest.mark.full
def test_with_precise_batch_norm_the_soup_gets_statistics_of_its_own(digits):
    more = ("model.batch_norm=true", "train.precise_batch_norm={batches: 6}", "train.epochs=4")
    train.train(digits(*SETTINGS, *more), Path("precise"))
    run = Run(Path("precise"))
    soup = read_description(run.model_file).soup
    files = [checkpoint_file.read(run.best_weights_file(epoch)) for epoch in soup.epochs]
    paths = files[0][0].paths
    averaged = [
        numpy.mean([list(each[1].values())[i] for each in files], axis=0) for i in range(len(paths))
    ]
    model = dict(zip(paths, weights(run), strict=True))
    assert len(soup.epochs) > 1
    for path, average in zip(paths, averaged, strict=True):
        same = numpy.allclose(model[path], average, rtol=1e-5, atol=1e-6)
        assert same == ("moving" not in path), path


def test_a_soup_needs_validation_and_its_settings_a_soup(digits, prepared, workspace):
    from imgcls.verbs.prepare import prepare

    prepare(digits("data.validation=0"))
    with pytest.raises(UserError, match=r"train\.select_weights: soup needs one"):
        train.train(digits(*SETTINGS, "data.validation=0"))
    content = {**TINY, "train": {"soup": {"checkpoints": 3}}}
    exit_code, _, error = command("check", write_experiment(workspace, content))
    assert exit_code == 2
    assert "soup is given, but select_weights is best" in " ".join(error.split())
