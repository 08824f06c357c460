"""A map of images by the features that enter the last layer of a model, in two dimensions. Light
zone.

PCA keeps large distances; t-SNE (van der Maaten and Hinton, 2008) keeps neighbors, and distances
between its groups mean nothing.
"""

import contextlib
import os
from typing import TYPE_CHECKING, Annotated

from imgcls.config import Experiment
from imgcls.datasets import SplitName
from imgcls.io import files, terminal
from imgcls.io.array_records import Array, ArrayRecord, NDArray, read_arrays, write_arrays
from imgcls.result_folder import ResultFolder
from imgcls.run import Run
from imgcls.seeds import derive_seed
from imgcls.store import lookup, reader_pool
from imgcls.store.reader import Reader

if TYPE_CHECKING:
    import numpy

THUMBNAIL = 32
"""Height and width of a thumbnail, in pixels."""
COMPONENTS = 50
"""Components of PCA that t-SNE starts from, at most."""
LEAST_IMAGES = 3
"""Images below which there is no map."""
LEAST = 12
"""Images below which t-SNE has no neighbors to keep."""


class EmbeddingArrays(ArrayRecord):
    """Images of a split in two dimensions, drawn at random."""

    ids: Annotated[NDArray, Array("U", "images")]
    """Image ids from the store."""
    labels: Annotated[NDArray, Array("int32", "images")]
    """True class numbers."""
    predicted: Annotated[NDArray, Array("int32", "images")]
    """Predicted class numbers."""
    pca: Annotated[NDArray, Array("float32", "images", 2)]
    """The first two principal components of the features."""
    tsne: Annotated[NDArray, Array("float32", "images", 2)]
    """The positions by t-SNE; those by PCA if there are too few images."""
    neighbors: Annotated[NDArray, Array("int32", "images")]
    """The class of the image whose features are the nearest."""
    thumbnails: Annotated[NDArray, Array("uint8", "images", 32, 32, 3)]
    """The images, 32x32, in RGB."""
    model: Annotated[NDArray, Array("U")]
    """The SHA-256 of the model file that made the features."""


def find_or_write_embedding(run: Run, experiment: Experiment, split: SplitName) -> None:
    """Write embedding.npz if the experiment asks for it, unless it is there with as many images, of
    the run's current model.

    Raises:
        UserError: the model has no last dense layer.
        DataError: the store is missing or has changed.
    """
    if experiment.evaluate.embedding is None:
        return
    count = min(experiment.evaluate.embedding, run.data.sizes[split])
    path = run.embedding_file(split)
    if count < LEAST_IMAGES:
        terminal.note(f"no map of features: the {split} split has {count} images")
        return
    with terminal.note_unusable():
        if os.path.lexists(path):
            saved = read_embedding(run, split)
            if len(saved.ids) == count and saved.model == files.compute_sha256(run.model_file):
                return
    write_arrays(path, _compute(run, experiment, split, count))


def read_embedding(folder: ResultFolder, split: str) -> EmbeddingArrays:
    """Return the saved map of a split.

    Raises:
        DataError: it is missing or damaged.
    """
    advice = folder.get_evaluation_advice(split)
    return read_arrays(folder.embedding_file(split), EmbeddingArrays, advice)


def _compute(run: Run, experiment: Experiment, split: SplitName, count: int) -> EmbeddingArrays:
    import numpy

    store, assigned = lookup.open_run_store(run.data, experiment.data.store_dir)
    seed = derive_seed(experiment.split_seed, "sample")
    generator = numpy.random.Generator(numpy.random.Philox(seed))
    available = assigned.get_indices(split)
    indices = numpy.sort(generator.choice(available, count, replace=False))
    reader = reader_pool.open_reader(store, assigned.geometry, experiment.train.data_workers)
    with store.change_detector.guard(), contextlib.closing(reader):
        features, predicted, thumbnails = _run_model(run, experiment, reader, indices)
    pca, tsne = project(features, seed)
    labels = store.labels[indices]
    return EmbeddingArrays(
        ids=numpy.array(store.get_ids(indices), dtype=str),
        labels=labels,
        predicted=predicted,
        pca=pca,
        tsne=tsne,
        neighbors=labels[find_nearest(features)],
        thumbnails=thumbnails,
        model=numpy.array(files.compute_sha256(run.model_file)),
    )


def _run_model(
    run: Run, experiment: Experiment, reader: Reader, indices: "numpy.ndarray"
) -> "tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]":
    """Return features, predicted classes and thumbnails of images, batch by batch."""
    import numpy

    from imgcls.evaluation.compiled_model import CompiledModel
    from imgcls.prediction.loaded_model import load_model

    size = experiment.train.batch_size
    compiled = CompiledModel(load_model(run, experiment).add_features(), size)
    features, predicted, thumbnails = [], [], []
    starts = range(0, len(indices), size)
    for start in terminal.track(starts, len(starts), "features"):
        images = reader.read(indices[start : start + size])
        probabilities, found = compiled.predict(images)
        features.append(found.reshape(len(images), -1).astype(numpy.float32))
        predicted.append(probabilities.argmax(axis=1).astype(numpy.int32))
        thumbnails.append(make_thumbnails(images))
    return (
        numpy.concatenate(features),
        numpy.concatenate(predicted),
        numpy.concatenate(thumbnails),
    )


def make_thumbnails(images: "numpy.ndarray") -> "numpy.ndarray":
    """Return images at 32x32 in RGB, uint8 (n, 32, 32, 3); they fill it, and edges are dropped."""
    import cv2
    import numpy

    found = numpy.empty((len(images), THUMBNAIL, THUMBNAIL, 3), numpy.uint8)
    for target, image in zip(found, images, strict=True):
        side = min(image.shape[:2])
        top, left = ((length - side) // 2 for length in image.shape[:2])
        square = image[top : top + side, left : left + side]
        shrinks = side > THUMBNAIL
        method = cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
        rgb = square if square.shape[2] == 3 else square[:, :, :1].repeat(3, axis=2)
        target[...] = cv2.resize(rgb, (THUMBNAIL, THUMBNAIL), interpolation=method)
    return found


def project(features: "numpy.ndarray", seed: int) -> "tuple[numpy.ndarray, numpy.ndarray]":
    """Return images in two dimensions by PCA and by t-SNE, each float32 (n, 2).

    Args:
        features: float32 (n, features), n at least 2.
    """
    import numpy
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    count = len(features)
    components = PCA(min(COMPONENTS, *features.shape), random_state=seed).fit_transform(features)
    pca = numpy.zeros((count, 2), numpy.float32)
    pca[:, : components.shape[1]] = components[:, :2]
    if count < LEAST:
        return pca, pca
    start = components if components.shape[1] > 1 else pca  # t-SNE begins with two components
    tsne = TSNE(perplexity=min(30, (count - 1) / 3), init="pca", random_state=seed)
    return pca, tsne.fit_transform(start).astype(numpy.float32)


def find_nearest(features: "numpy.ndarray") -> "numpy.ndarray":
    """Return the index of the nearest other image of each, int64 (n,); n at least 2."""
    from sklearn.neighbors import NearestNeighbors

    # Without images to look up, an image is not a neighbor of itself.
    found = NearestNeighbors(n_neighbors=1).fit(features).kneighbors(return_distance=False)
    return found[:, 0]
