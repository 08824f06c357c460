"""Applying operations to those images of a batch for which they are chosen. Heavy zone."""

from collections.abc import Callable, Sequence

from imgcls.backend import tf


def apply_in_groups(
    operations: Sequence[Callable[..., tf.Tensor]],
    choices: tf.Tensor,
    images: tf.Tensor,
    *parameters: tf.Tensor,
) -> tf.Tensor:
    """Apply to each image the operation that is chosen for it, and no operation in vain.

    Copying whole images to groups and back takes a fraction of the time of `tf.where`.

    Args:
        operations: functions of uint8 images (group, height, width, channels), and of the rows of
            each parameter for these images. A group may be empty.
        choices: indices into `operations`, int32 (batch,).
        images: uint8 (batch, height, width, channels).
        parameters: of any shape (batch, ...).

    Returns:
        uint8, of the shape of the images.
    """
    batch, *shape = images.shape
    rows, groups, *others = (
        tf.dynamic_partition(values, choices, len(operations))
        for values in (tf.range(batch), images, *parameters)
    )
    groups = [tf.ensure_shape(group, [None, *shape]) for group in groups]
    results = [
        operation(*arguments)
        for operation, *arguments in zip(operations, groups, *others, strict=True)
    ]
    return tf.ensure_shape(tf.dynamic_stitch(rows, results), images.shape)


def apply_in_sequence(
    operations: Sequence[Callable[[tf.Tensor, tf.Tensor], tf.Tensor]],
    choices: tf.Tensor,
    images: tf.Tensor,
    levels: tf.Tensor,
) -> tf.Tensor:
    """Apply to each image its own sequence of operations.

    Args:
        operations: functions of images and of levels, float32 (group,).
        choices: indices into `operations`, int32 (batch, positions).
        levels: float32 (batch, positions).
    """
    for position in range(choices.shape[1]):
        images = apply_in_groups(operations, choices[:, position], images, levels[:, position])
    return images


def identity(images: tf.Tensor, *parameters: tf.Tensor) -> tf.Tensor:
    """Return the images as they are."""
    return images
