"""A method of compression trains its network in the loop of `train`, and continues after a stop."""

from pathlib import Path

import pytest
from experiments import RICH

from imgcls import compressors
from imgcls.backend import keras
from imgcls.compression.context import Context
from imgcls.compressors import fold
from imgcls.compressors.fold import Settings
from imgcls.errors import Interrupted
from imgcls.run import Run
from imgcls.training import network_file
from imgcls.verbs import compress, train

EPOCHS = ["train.epochs=2", "train.optimizer.learning_rate=1.0e-4"]


@pytest.fixture
def original(digits):
    """A run whose model has batch norm and dropout."""
    experiment = digits(*RICH, "model.dropout=0.5", "train.epochs=1")
    summary = train.train(experiment)
    return Run(Path(summary["run"]))


def tune(run, monkeypatch, folder=None):
    """Compress a run by a method that trains its network further, twice."""

    def train_twice(settings: Settings, context: Context):
        model = context.model
        for _ in range(2):
            model, trained = context.fine_tune(model, EPOCHS)
        measured = context.evaluate(model)
        return compressors.Compressed(model, {"accuracy": measured.accuracy}, trained)

    monkeypatch.setattr(fold, "compress", train_twice)
    content = run.experiment.model_dump() | {"compress": ["fold"]}
    experiment = type(run.experiment).model_validate(content)
    return compress.compress(run, experiment, folder)


def test_the_compressed_run_has_the_log_of_its_last_training(original, monkeypatch):
    tune(original, monkeypatch)
    made = Run(original.folder.with_name("1-fold-1"))
    assert made.experiment.train.epochs == 2
    assert [epoch.epoch for epoch in made.log] == [1, 2]
    assert made.log[-1].step == made.status.step
    best = max(epoch.val_accuracy for epoch in made.log)
    assert made.compression.steps[0].details["accuracy"] == pytest.approx(best, abs=1e-6)
    assert not list(made.folder.glob(".training-*"))


def test_a_stopped_compression_continues_to_the_same_model(original, monkeypatch):
    whole = original.folder.with_name("whole")
    tune(original, monkeypatch, whole)
    stopped, run_train = original.folder.with_name("stopped"), train.train

    def stop_in_the_second(experiment, folder, epochs=None, **settings):
        is_second = folder.name.endswith("-2")
        return run_train(experiment, folder, 1 if is_second else None, **settings)

    with monkeypatch.context() as patched:
        patched.setattr(train, "train", stop_in_the_second)
        with pytest.raises(
            Interrupted, match=r"imgcls compress \S+ --method fold --run \S+stopped"
        ):
            tune(original, monkeypatch, stopped)
    assert Run(stopped).status.status == "interrupted"
    tune(original, monkeypatch, stopped)
    assert Run(stopped).model_file.read_bytes() == Run(whole).model_file.read_bytes()


def test_a_network_is_trained_with_the_layers_of_training(original):
    from imgcls.compression.networks import load_logits
    from imgcls.models._batch_norm import BatchNorm
    from imgcls.models._dropout import Dropout
    from imgcls.training.model_description import read_description
    from imgcls.training.model_file import save_model

    plain = load_logits(original)
    save_model(plain, read_description(original.model_file), original.network_file)
    kinds = [type(layer) for layer in network_file.load_network(original.network_file).layers]
    assert {BatchNorm, Dropout} <= set(kinds)
    assert not {keras.layers.BatchNormalization, keras.layers.Dropout} & set(kinds)
