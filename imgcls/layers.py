"""Layers that several models share. Heavy zone."""

from imgcls.backend import keras, tf
from imgcls.models import Problem


def standardize(images: keras.KerasTensor, problem: Problem) -> keras.KerasTensor:
    """Bring uint8 images to mean 0 and deviation 1 per channel of the training pixels, in the policy's compute dtype.

    A channel that never varies is only centred.
    """
    variance = [deviation**2 if deviation > 0 else 1.0 for deviation in problem.deviation]
    return keras.layers.Normalization(axis=-1, mean=problem.mean, variance=variance, name="standardize")(images)


def batch_norm(name: str) -> keras.layers.BatchNormalization:
    """Return a batch normalization whose statistics are those of the global batch, on any number of replicas."""
    return keras.layers.BatchNormalization(name=name, synchronized=tf.distribute.get_strategy().num_replicas_in_sync > 1)


def logits(features: keras.KerasTensor, problem: Problem) -> keras.KerasTensor:
    """Return the last dense layer's outputs, in at least float32: half precision would round close probabilities together."""
    compute = keras.config.dtype_policy().compute_dtype
    dtype = compute if compute == "float64" else "float32"
    return keras.layers.Dense(problem.classes, dtype=dtype, name="logits")(features)
