"""The teacher of a distillation: the model of another run. Light zone.

TensorFlow and Keras are imported inside functions.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from imgcls.errors import DataError, UserError
from imgcls.family import is_family
from imgcls.image.decode import Geometry
from imgcls.io import files, terminal
from imgcls.io.records import Record, read_record, write_record
from imgcls.losses._distillation import Distillation
from imgcls.run import Run
from imgcls.run_lookup import open_run, require_finished
from imgcls.training.model_description import ModelDescription, read_description

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

TEMPERATURE = "temperature"
"""The layer of model.keras that the logits enter."""


class TeacherRecord(Record):
    """The teacher of a run."""

    teacher: str
    """The folder of its run, as the experiment gives it."""
    model_sha256: str
    """The SHA-256 of its model."""


def require(settings: Distillation | None) -> None:
    """Check that the teacher is there, before TensorFlow is imported.

    Raises:
        UserError: its folder is not a run, or one that was compressed to LiteRT.
        DataError: it is not finished.
    """
    if settings:
        _open(settings)


def record(run: Run, settings: Distillation | None) -> None:
    """Write teacher.json for a new run; check it for a continued one.

    Raises:
        UserError, DataError: as `require_same`.
    """
    if settings is None:
        return
    if os.path.lexists(run.teacher_file):
        require_same(run, settings)
        return
    sha256 = files.compute_sha256(_open(settings).model_file)
    write_record(run.teacher_file, TeacherRecord(teacher=settings.teacher, model_sha256=sha256))


def require_same(run: Run, settings: Distillation | None) -> None:
    """Check that a run's teacher is the one with which it started, if it has one.

    Raises:
        UserError: as `require`.
        DataError: its model is another one; also as `require`.
    """
    if settings is None or not os.path.lexists(run.teacher_file):
        return
    advice = "restore it from a backup, or train a new run"
    start = read_record(run.teacher_file, TeacherRecord, advice).model_sha256
    now = files.compute_sha256(_open(settings).model_file)
    if start != now:
        raise DataError(
            f"the teacher of {run.folder}, {settings.teacher}, has changed: the SHA-256 of its"
            f" model was {start[:12]}, and is {now[:12]} now; restore it, or train a new run"
        )


def _open(settings: Distillation) -> Run:
    path = Path(settings.teacher)
    if is_family(path):
        raise UserError(
            f"train.distillation.teacher: {path} is a family of runs; give the folder of one"
        )
    run = open_run(path)
    require_finished(run)
    if run.model_file != run.keras_file:
        raise UserError(
            f"train.distillation.teacher: {path} was compressed to {run.model_file.name}, which"
            " TensorFlow does not run; give the run that it was made of"
        )
    return run


class Teacher:
    """The logits and feature maps of a teacher for the images that a student is trained on.

    Both take raw pixels and standardize them in their own first layers. The teacher sees the
    student's images after augmentation; if it is made for another size, they are resized again.

    Args:
        classes: of the student, in label order.
        geometry: of the student's images.

    Attributes:
        parameters: the number of the teacher's weights.

    Raises:
        UserError: the teacher has other classes, or takes images of other channels.
        DataError: as `require`, or its model is damaged.
    """

    def __init__(self, settings: Distillation, classes: Sequence[str], geometry: Geometry):
        from imgcls.backend import keras
        from imgcls.evaluation import inference

        self._settings = settings
        run = _open(settings)
        description = read_description(run.model_file)
        _require_same_classes(settings, description, classes)
        _compare_images(settings, description, geometry)
        served = inference.load_model(run.model_file, description.shape, len(classes))
        served.trainable = False
        self._size = description.shape[:2]
        self._model: keras.Model = keras.Model(
            served.inputs[0], served.get_layer(TEMPERATURE).input
        )
        self._watched, self._noted = self._model, ""
        self.parameters: int = served.count_params()

    def note_larger(self, student: "keras.Model") -> None:
        """Print a note if the student has more weights than the teacher."""
        if student.count_params() > self.parameters:
            terminal.note(
                f"train.distillation: the student has {student.count_params():,} weights, more than"
                f" the {self.parameters:,} of its teacher"
            )

    def watch(self, student: "keras.Model") -> "keras.Model":
        """Return the model to train with this teacher: the student, or with `attention`, the same
        layers with the feature maps that are compared as further outputs.

        Args:
            student: from uint8 images to logits; the images may have another size than at first.

        Raises:
            UserError: a network has no feature maps to compare.
        """
        if self._settings.attention is None:
            return student
        from imgcls.backend import keras
        from imgcls.models._dropout import register_rows
        from imgcls.training import attention

        pairs = attention.pair(self._model, student)
        if not pairs:
            raise UserError(
                "train.distillation.attention needs feature maps of more than one pixel in both"
                " networks, and one has none; remove it, or choose a convolutional network"
            )
        self._note_pairs(", ".join(f"{taught} with {learned}" for taught, learned in pairs))
        taught, learned = ([each.output for each in side] for side in zip(*pairs, strict=True))
        self._watched = keras.Model(self._model.inputs[0], [self._model.outputs[0], *taught])
        return register_rows(keras.Model(student.inputs[0], [student.outputs[0], *learned]))

    def _note_pairs(self, names: str) -> None:
        """Print a note on what is compared, if that changed."""
        if names != self._noted:
            self._noted = names
            terminal.note(f"train.distillation: attention of teacher and student: {names}")

    def mix_losses(
        self, losses: "tf.Tensor", images: "tf.Tensor", outputs: "list[tf.Tensor]"
    ) -> "tf.Tensor":
        """Return the loss of each row with those on the teacher's outputs, (rows,).

        Args:
            losses: on the labels, (rows,).
            images: augmented, uint8 (rows, height, width, channels).
            outputs: of the model that `watch` returned last: the student's logits, (rows, classes),
                and its feature maps.
        """
        from imgcls.backend import keras, tf
        from imgcls.training import attention
        from imgcls.training.resized_model import resize_images

        if self._size != tuple(images.shape[1:3]):
            images = resize_images(images, self._size)
        logits = outputs[0]
        taught, *maps = (
            tf.stop_gradient(tf.cast(each, logits.dtype))
            for each in keras.tree.flatten(self._watched(images, training=False))
        )
        alpha = self._settings.alpha
        soft = compute_soft_losses(taught, logits, self._settings.temperature)
        mixed = (1 - alpha) * losses + alpha * soft
        if self._settings.attention is None:
            return mixed
        learned = [tf.cast(each, logits.dtype) for each in outputs[1:]]
        return mixed + self._settings.attention * attention.compute_losses(maps, learned)


def compute_soft_losses(
    taught: "tf.Tensor", logits: "tf.Tensor", temperature: float
) -> "tf.Tensor":
    """Return T^2 KL(p || q) of each row, in nats, where p and q are the softmax of the teacher's
    and the student's logits divided by the temperature T.

    Hinton et al., 2015, "Distilling the knowledge in a neural network", section 2, where it is the
    cross-entropy; the entropy of p, in which they differ, has no gradient. The factor makes the
    gradients of both losses comparable.

    Args:
        taught: logits of the teacher, (rows, classes).
        logits: of the student, (rows, classes).
    """
    from imgcls.backend import tf

    teacher = tf.nn.log_softmax(taught / temperature)
    student = tf.nn.log_softmax(logits / temperature)
    divergence = tf.reduce_sum(tf.exp(teacher) * (teacher - student), axis=-1)
    return temperature**2 * divergence


def _require_same_classes(
    settings: Distillation, description: ModelDescription, classes: Sequence[str]
) -> None:
    if description.classes != list(classes):
        raise UserError(
            f"train.distillation.teacher: {settings.teacher} has the classes"
            f" {terminal.format_some(description.classes, 10)}, but the data has"
            f" {terminal.format_some(classes, 10)}; they must be the same, in the same order: give"
            " a run that was trained on data of these classes"
        )


def _compare_images(
    settings: Distillation, description: ModelDescription, geometry: Geometry
) -> None:
    """Print a note on what differs between the images of the teacher and those of the student.

    Raises:
        UserError: they have other channels.
    """
    teacher, student = description.shape, geometry.shape
    if teacher[2] != student[2]:
        raise UserError(
            f"train.distillation.teacher: {settings.teacher} takes images of {teacher[2]} channels,"
            f" but these have {student[2]}; train a teacher on such images, or set data.channels"
        )
    differences = []
    if teacher[:2] != student[:2]:
        differences.append(
            f"{teacher[0]}x{teacher[1]} pixels instead of {student[0]}x{student[1]}, to which the"
            " student's images are resized again, bilinearly"
        )
    if description.resize != geometry.resize:
        differences.append(f"resize: {description.resize} instead of {geometry.resize}")
    if differences:
        terminal.note(
            f"train.distillation: the teacher {settings.teacher} was trained on images of"
            f" {'; and '.join(differences)}"
        )
