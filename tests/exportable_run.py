"""A finished run with its store and a small model of random weights, made in a second: what an
export needs.
"""

from pathlib import Path

import numpy
from experiments import describe_model
from test_model_page import make_photos

from imgcls.backend import keras
from imgcls.config import Experiment
from imgcls.evaluation import sample
from imgcls.export.folder import ExportFolder, get_export_folder
from imgcls.input.batches import make_examples
from imgcls.io import files
from imgcls.io.records import write_record
from imgcls.run import Run
from imgcls.store import lookup
from imgcls.training import model_file
from imgcls.verbs import prepare

TEMPERATURE = 1.5
SIZE = (13, 16)


def build_logits(shape, classes, dtype="float32", scale=1 / 255):
    """Return a model from uint8 images to logits, with convolution and batch norm."""
    keras.utils.set_random_seed(0)
    images = keras.Input(shape, dtype="uint8", name="images")
    features = keras.layers.Rescaling(scale, name="rescaling", dtype=dtype)(images)
    random = keras.initializers.RandomNormal(stddev=1.0)
    features = keras.layers.Conv2D(
        8, 3, padding="same", name="convolution", dtype=dtype, bias_initializer=random
    )(features)
    features = keras.layers.BatchNormalization(name="norm", dtype=dtype)(features)
    features = keras.layers.Activation("relu", name="activation", dtype=dtype)(features)
    features = keras.layers.MaxPooling2D(name="pooling", dtype=dtype)(features)
    features = keras.layers.Flatten(name="flatten", dtype=dtype)(features)
    last = dtype if dtype == "float64" else "float32"
    random = keras.initializers.RandomNormal(stddev=1.0)
    logits = keras.layers.Dense(classes, name="logits", dtype=last, kernel_initializer=random)(
        features
    )
    return keras.Model(images, logits, name="imgcls")


def write_model(run, logits, temperature=TEMPERATURE, resize="stretch"):
    """Write a run's model.keras."""
    data = run.data
    description = describe_model(data.classes, data.shape, resize, temperature)
    own = description.model_copy(update={"fingerprint": data.fingerprint})
    serving = model_file.make_serving_model(logits, temperature)
    model_file.save_model(serving, own, run.model_file)


def make_run(folder: Path, precision="float32", **data) -> Run:
    """Write a run below a folder: its store, model.keras and sample.

    Args:
        data: settings of the data; the digits unless given.
    """
    experiment = Experiment.model_validate(
        {
            "name": "exportable",
            "data": {"name": "digits", "store_dir": str(folder / "data"), **data},
            "model": {"name": "cnn"},
            "train": {"batch_size": 64, "precision": precision},
            "evaluate": {"bootstrap_samples": 100},
        }
    )
    prepare.prepare(experiment)
    store, split = lookup.find_store(experiment)
    run = Run(folder / "run")
    files.write_text(run.config_file, experiment.to_yaml())
    write_record(run.data_file, store.describe(split))
    logits = build_logits(run.data.shape, len(store.classes), precision)
    write_model(run, logits, resize=split.geometry.resize)
    sample.write_sample(run.sample_file, make_examples(store, split, "validation"), 0)
    run.write_status("finished", step=1, exit_code=0)
    return run


def make_run_of_photos(folder: Path, resize="pad", size=SIZE) -> Run:
    """Write a run of photos of all kinds: odd shapes, turned, transparent, and of 16 bits."""
    make_photos(folder / "photos")
    return make_run(
        folder,
        name="folder",
        path=str(folder / "photos"),
        size=list(size),
        resize=resize,
        channels=3,
        validation=0.4,
        test=0.3,
    )


def read_split(run, name="validation"):
    """Return the images of a split of a run, uint8, and their labels."""
    store, split = lookup.open_run_store(run.data, run.experiment.data.store_dir)
    return make_examples(store, split, name).read_all()


def predict_in_keras(run, images):
    """Return what model.keras predicts, the oracle of all artifacts."""
    model = keras.models.load_model(run.model_file, compile=False)
    return numpy.asarray(model(images))


def list_files(folder):
    """Return the files and folders below a folder, but for locks."""
    paths = (each for each in folder.rglob("*") if each.name != ".lock")
    return sorted(each.relative_to(folder).as_posix() for each in paths)


def open_export(run, name) -> ExportFolder:
    """Return the folder of a run's export."""
    return get_export_folder(run, name)
