"""The sections of an experiment file, with all their defaults. Light zone.

`experiment_file.read_experiment` reads an `Experiment` from a YAML file.
"""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from imgcls import parts
from imgcls.augmentations import AugmentationSettings
from imgcls.datasets import DataSettings
from imgcls.durations import Duration, DurationIn
from imgcls.io import yaml_file
from imgcls.metrics import MetricSettings
from imgcls.models import ModelSettings
from imgcls.optimizers import OptimizerSettings
from imgcls.parts import PartOf, PartSettings, Section
from imgcls.schedules import WarmupSettings
from imgcls.strategies import StrategySettings

Monitor = Literal["val_loss", "val_accuracy"]


class EarlyStopping(Section):
    """Stop when the monitored quantity has not improved for `patience` epochs."""

    monitor: Monitor = "val_loss"
    """The quantity, measured on the validation split."""
    patience: Annotated[int, Field(ge=1)] = 10
    """Epochs without improvement after which training stops."""
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    """Minimum change that counts as an improvement."""


class Plateau(Section):
    """Reduce the learning rate when a monitored quantity has not improved for `patience` epochs."""

    monitor: Monitor = "val_loss"
    """The quantity, measured on the validation split."""
    patience: Annotated[int, Field(ge=1)] = 5
    """Epochs without improvement after which the learning rate is reduced, and reduced again."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Factor by which the learning rate of all later steps is multiplied."""
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    """Minimum change that counts as an improvement."""


class Ema(Section):
    """Validate, select and save an exponential moving average (EMA) of the weights.

    As in Keras (Polyak and Juditsky, 1992); training continues with the weights themselves.
    """

    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """Decay of the average per step; it spans roughly 1 / (1 - decay) steps."""


class OnDivergence(Section):
    """When a loss, gradient or weight is not finite, go back to the last checkpoint."""

    retries: Annotated[int, Field(ge=1)] = 3
    """Maximum number of retries; after that, training stops with exit code 4."""
    learning_rate_factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Factor by which each retry multiplies the learning rate of all later steps."""


class Sampling(Section):
    """Sample the images of an epoch by weight, some several times and some not at all.

    An epoch has as many images as the split. Each image, and each class, is sampled as often as
    expected from its weight, rounded up or down (systematic sampling: Madow and Madow, 1944);
    independent draws would add variance. Repeated images are augmented differently.
    """

    by: Literal["class", "weight"]
    """`class` makes rare classes more frequent; `weight` uses the weights of the images."""
    power: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Exponent of the weights. By class, the weight of an image is (size of its class) ** -power:
    with 1 all classes are equally frequent, with 0.5 in proportion to the square root of their
    size. By weight, it is weight ** power."""


NEUTRAL_SETTINGS = {
    "steps_per_execution",
    "device_cache_mib",
    "data_workers",
    "checkpoint",
    "time_limit",
}
"""Settings of `train` that a continued run may change, since they do not affect results."""


class Train(Section):
    """How the model is trained."""

    epochs: Annotated[int, Field(ge=1)] = 20
    """Passes over the training split."""
    batch_size: Annotated[int, Field(ge=1)] = 128
    """Images per global batch, over all devices together."""
    micro_batch_size: Annotated[int, Field(ge=1)] | None = None
    """Images that a device processes at once; gradients are accumulated over the micro-batches of
    its local batch. The size of the local batch unless given; halved automatically when memory runs
    out. Batch norm normalizes each micro-batch separately."""
    augmentation_repeats: Annotated[int, Field(ge=1)] = 1
    """How often a batch contains each of its images, each time augmented differently (Hoffer et
    al., 2020). The length of an epoch does not change: with 4, an epoch shows a quarter of the
    images, and four epochs show all."""
    sampling: Sampling | None = None
    """Samples images by weight. Unless given, each epoch shows every image once."""
    loss: Annotated[PartSettings, PartOf("losses")] = Field(
        default_factory=lambda: parts.make_default_settings("losses", "cross_entropy")
    )
    """The training loss, which is also the log's `loss` and `val_loss`: a file of imgcls/losses."""
    optimizer: Annotated[OptimizerSettings, PartOf("optimizers")] = Field(
        default_factory=lambda: parts.make_default_settings("optimizers", "adamw")
    )
    """A file of imgcls/optimizers."""
    schedule: Annotated[PartSettings, PartOf("schedules")] = Field(
        default_factory=lambda: parts.make_default_settings("schedules", "constant")
    )
    """The learning rate over the steps: a file of imgcls/schedules."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16", "float64"] = "float32"
    """Keras's dtype policy. The mixed ones are for GPUs; float64 is for comparing strategies."""
    strategy: Annotated[StrategySettings, PartOf("strategies")] = Field(
        default_factory=lambda: parts.make_default_settings("strategies", "one_device")
    )
    """The devices to train on: a file of imgcls/strategies."""
    deterministic: bool = True
    """Use deterministic kernels only. Otherwise, a continued or repeated run may differ; `imgcls
    doctor` measures the cost."""
    jit_compile: bool = False
    """Compile the forward and backward pass with XLA, which has no deterministic max pooling."""
    steps_per_execution: Annotated[int, Field(ge=1)] = 16
    """Steps between two checks of signals and the clock; more are faster with tiny models."""
    device_cache_mib: Annotated[int, Field(ge=0)] = 512
    """MiB of images that each device may cache: splits that fit are copied to the device once,
    larger ones are read from the store as needed.
    """
    data_workers: Annotated[int, Field(ge=1)] | None = None
    """Processes that decode or crop images during training; one per core unless given."""
    select_weights: Literal["best", "last"] = "best"
    """Whether model.keras gets the weights of the best epoch or of the last."""
    monitor: Monitor = "val_accuracy"
    """Quantity on the validation split that defines the best epoch; the first in case of a tie."""
    early_stopping: EarlyStopping | None = None
    """Stops when validation no longer improves. Off unless given."""
    plateau: Plateau | None = None
    """Reduces the learning rate when validation no longer improves. Off unless given."""
    ema: Ema | None = None
    """Averages the weights. Off unless given."""
    on_divergence: OnDivergence | None = None
    """Retries from the last checkpoint when training diverges. Unless given, training stops."""
    time_limit: Annotated[Duration, DurationIn("s", "m", "h")] | None = None
    """Time from the start of the command, such as 55m, within which the last checkpoint is saved.
    The command then ends with exit code 75; run it again to continue. No limit unless given.
    """
    checkpoint: Annotated[Duration, DurationIn("steps", "s", "m", "h")] | None = Duration(
        Decimal(5), "m"
    )
    """How often a checkpoint is saved within an epoch, such as 5m or 500 steps; null for never. One
    is always saved at the end of an epoch, and when a signal stops the command.
    """

    @model_validator(mode="after")
    def _check_repeats(self) -> "Train":
        if self.batch_size % self.augmentation_repeats:
            raise ValueError(
                f"augmentation_repeats is {self.augmentation_repeats}, but batch_size is"
                f" {self.batch_size}: a batch contains each of its images equally often; make"
                " batch_size a multiple of augmentation_repeats"
            )
        return self

    @model_validator(mode="after")
    def _check_patience(self) -> "Train":
        stop, plateau = self.early_stopping, self.plateau
        if (
            stop
            and plateau
            and stop.monitor == plateau.monitor
            and stop.patience <= plateau.patience
        ):
            raise ValueError(
                f"early_stopping.patience is {stop.patience}, but plateau.patience is"
                f" {plateau.patience}: training would stop before the learning rate is reduced;"
                " make early_stopping.patience larger"
            )
        return self


class Evaluate(Section):
    """How a model is evaluated."""

    metrics: list[Annotated[MetricSettings, PartOf("metrics")]] = Field(
        default_factory=lambda: parts.make_all_default_settings("metrics")
    )
    """Files of imgcls/metrics; all of them unless given."""
    intervals: list[str] = ["accuracy", "classification", "log_loss", "brier"]
    """Metrics that get bootstrap confidence intervals; ranking metrics take longer."""
    bootstrap_samples: Annotated[int, Field(ge=100)] = 1000
    """Number of bootstrap samples (percentile method: Efron and Tibshirani, 1993)."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Confidence level of the intervals."""

    @field_validator("intervals")
    @classmethod
    def _check_names(cls, value: list[str]) -> list[str]:
        for name in value:
            parts.load("metrics", name)
        return value

    @field_validator("metrics")
    @classmethod
    def _check_unique(cls, value: list[MetricSettings]) -> list[MetricSettings]:
        return parts.require_unique(value, "its numbers would have the same names")


NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class Experiment(Section):
    """An experiment: data, augmentations, model, training, evaluation and figures."""

    name: Annotated[str, Field(json_schema_extra={"pattern": NAME, "maxLength": 100})]
    """The experiment's name; its runs are the folders runs/<name>/<number>."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """The seed from which the seeds of splits, weights, order, augmentation and dropout derive."""
    data: Annotated[DataSettings, PartOf("datasets")]
    """The images: a file of imgcls/datasets."""
    augment: list[Annotated[AugmentationSettings, PartOf("augmentations")]] = []
    """The augmentations of training images, in this order: files of imgcls/augmentations."""
    model: Annotated[ModelSettings, PartOf("models")]
    """The model to train: a file of imgcls/models."""
    train: Train = Field(default_factory=Train)
    """How the model is trained."""
    evaluate: Evaluate = Field(default_factory=Evaluate)
    """How the model is evaluated."""
    figures: list[Annotated[PartSettings, PartOf("figures")]] = Field(
        default_factory=lambda: parts.make_all_default_settings("figures")
    )
    """The figures to draw: files of imgcls/figures; all of them unless given."""

    @field_validator("name")
    @classmethod
    def _check_folder_name(cls, value: str) -> str:
        if len(value) > 100 or not re.fullmatch(NAME, value):
            raise ValueError(
                f"is {value!r}, but must be a valid folder name; give at most 100 letters (a to z),"
                " digits, dots, hyphens and underscores, beginning with a letter or a digit"
            )
        return value

    @model_validator(mode="after")
    def _check_jit_compile(self) -> "Experiment":
        """Reject what XLA cannot compile before training fails on it."""
        layer_types = self.model.get_layer_types() if self.train.jit_compile else set()
        if self.train.deterministic and "max pooling" in layer_types:
            raise ValueError(
                "train.jit_compile, train.deterministic and the max pooling of model"
                f" {self.model.name} do not work together: XLA has no deterministic max pooling;"
                " set train.deterministic: false, train.jit_compile: false, or a model without max"
                " pooling"
            )
        if self.train.strategy.spans_devices and "batch norm" in layer_types:
            raise ValueError(
                f"train.jit_compile, train.strategy {self.train.strategy.name} and the batch norm"
                f" of model {self.model.name} do not work together: batch norm synchronizes the"
                " devices, which XLA cannot compile; set train.jit_compile: false, train.strategy:"
                " {name: one_device}, or a model without batch norm"
            )
        return self

    @model_validator(mode="after")
    def _check_durations(self) -> "Experiment":
        durations = {
            f"augment.{index}.until": settings.until for index, settings in enumerate(self.augment)
        }
        if isinstance(self.train.schedule, WarmupSettings):
            durations["train.schedule.warmup"] = self.train.schedule.warmup
        for key, duration in durations.items():
            if duration and duration.unit == "epochs" and duration.number > self.train.epochs:
                raise ValueError(
                    f"{key} is {duration}, but train.epochs is {self.train.epochs}; give at most"
                    " that many, or a percentage such as 50%"
                )
        return self

    @property
    def split_seed(self) -> int:
        """The seed from which the seed of the split derives."""
        return self.seed if self.data.split_seed is None else self.data.split_seed

    def to_yaml(self) -> str:
        """Return the experiment with all defaults as YAML, which is read back to an equal one."""
        return yaml_file.dump(self.model_dump())

    def identity(self) -> dict[str, Any]:
        """Return the settings that can change a weight or the length of the log."""
        identity = self.model_dump(
            exclude={"evaluate": True, "figures": True, "train": NEUTRAL_SETTINGS}
        )
        return identity | {"data": self.data.identity() | {"split_seed": self.split_seed}}
