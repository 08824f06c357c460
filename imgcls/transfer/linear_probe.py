"""Starts the last dense layer from a linear probe of the frozen layers before it. Heavy zone.

The probe is a regularized multinomial logistic regression on the features that enter the layer, in
evaluation mode and without augmentation (Alain and Bengio, 2017; Kumar et al., 2022, for
fine-tuning from there: a random head would distort the features first).
"""

import time

import numpy
from threadpoolctl import threadpool_limits

from imgcls.backend import keras
from imgcls.config import Experiment
from imgcls.errors import DivergenceError, UserError
from imgcls.evaluation import inference
from imgcls.io import terminal
from imgcls.io.records import write_record
from imgcls.models import HEAD
from imgcls.run import Run
from imgcls.store import reader_pool
from imgcls.store.split_file import Split
from imgcls.store.store import Store
from imgcls.train_config import Train
from imgcls.training import layer_selection, model_file, phases
from imgcls.training.class_weights import compute_class_weights
from imgcls.transfer.probe_strength import Samples, choose_strength

NOTED_BYTES = 2**30
"""Bytes of features from which a note says how much memory they take."""


def fit_head(
    model: keras.Model, experiment: Experiment, store: Store, split: Split, run: Run | None
) -> None:
    """Set the weights of the last dense layer to those of the probe, and print how good it is.

    Args:
        run: whose linear_probe.json gets a record of it; None without one.

    Raises:
        UserError: the model does not end in a dense layer of the name `logits`.
        DivergenceError: a feature is not finite.
        OutOfMemoryError: a single image does not fit the device.
    """
    start = time.monotonic()
    head = _find_head(model)
    train, validation = _compute_samples(model, experiment, store, split)
    groups = None if store.groups is None else store.groups[split.train]
    # With more threads, BLAS rounds sums differently, and is slow if other programs use the cores.
    with threadpool_limits(1, user_api="blas"):
        found, record = choose_strength(train, validation, len(store.classes), groups)
    kernel, bias = found.fold_scaler()
    head.kernel.assign(kernel)
    head.bias.assign(bias)
    record = record.model_copy(update={"seconds": time.monotonic() - start})
    if run:
        write_record(run.linear_probe_file, record)
    terminal.print_line(record.format_line())
    if experiment.train.epochs != 0:
        _note_trained_batch_norms(model, experiment.train)


def _note_trained_batch_norms(model: keras.Model, settings: Train) -> None:
    """Say that the training begins with other features than those that the probe was fitted on."""
    frozen = set(map(id, phases.list_frozen_at_start(settings, model)))
    norms = [
        layer
        for layer in layer_selection.list_layers(model)
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    trained = sum(id(layer) not in frozen for layer in norms)
    if trained:
        terminal.note(
            f"{trained} of {len(norms)} batch norms are trained from the first step on: they"
            " normalize by the images of each batch, and did not while the probe was fitted, which"
            " can undo it; to keep them as they are, select them in train.freeze"
        )


def _find_head(model: keras.Model) -> keras.layers.Dense:
    head = next((layer for layer in model.layers if layer.name == HEAD), None)
    if not isinstance(head, keras.layers.Dense) or head.output is not model.outputs[0]:
        raise UserError(
            f"train.head_init: linear_probe needs a model that ends in a dense layer named '{HEAD}'"
        )
    return head


def _compute_samples(
    model: keras.Model, experiment: Experiment, store: Store, split: Split
) -> tuple[Samples, Samples]:
    """Return the samples of the training and of the validation split, which may be empty."""
    settings = experiment.train
    plain = model_file.make_plain_model(model)
    extractor = keras.Model(plain.inputs, plain.get_layer(HEAD).input)
    reader = reader_pool.open_reader(store, split.geometry, settings.data_workers)
    try:
        samples = []
        for indices in (split.train, split.validation):
            _note_memory(len(indices), extractor.output_shape[-1])
            features = numpy.zeros((0, extractor.output_shape[-1]), numpy.float32)
            if len(indices):
                features = inference.predict_outputs(
                    extractor, reader, indices, settings.batch_size
                ).astype(numpy.float32, copy=False)
            _require_finite(features, store, indices)
            samples.append(Samples(features, store.labels[indices]))
    finally:
        reader.close()
    weights = compute_weights(settings, store, split)
    return Samples(samples[0].features, samples[0].labels, weights), samples[1]


def _note_memory(images: int, width: int) -> None:
    if images * width * 4 >= NOTED_BYTES:
        terminal.note(
            f"the features of {images:,} images take {images * width * 4 / 2**30:.1f} GiB"
        )


def _require_finite(features: numpy.ndarray, store: Store, indices: numpy.ndarray) -> None:
    broken = indices[~numpy.isfinite(features).all(axis=1)]
    if broken.size:
        name = terminal.to_printable(store.get_ids(broken[:1])[0])
        raise DivergenceError(
            f"the features of {broken.size} images are not finite, the first is {name}; use"
            " train.precision: float32, or other weights"
        )


def compute_weights(settings: Train, store: Store, split: Split) -> numpy.ndarray | None:
    """Return the weight of each training image in the loss, with mean 1; None if all are equal.

    They are those of `train.class_weights`, times how often `train.sampling` shows an image.
    """
    labels, weights = store.labels[split.train], numpy.ones(len(split.train))
    with terminal.silence():  # training prints the same notes
        of_classes = compute_class_weights(settings, store.classes, labels)
    if of_classes is not None:
        weights *= of_classes[labels]
    sampling = settings.sampling
    if sampling and sampling.by == "class":
        weights *= numpy.bincount(labels)[labels] ** -sampling.power
    elif sampling and store.weights is not None:
        weights *= store.weights[split.train].astype(numpy.float64) ** sampling.power
    return None if (weights == weights[0]).all() else weights / weights.mean()
