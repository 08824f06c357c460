"""The experiment: its sections, with every default in one place. Light zone.

`read_experiment` in `experiment_file.py` makes one from a YAML file.
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
    """The least change that counts as an improvement."""


class Plateau(Section):
    """Lower the learning rate when a monitored quantity has not improved for `patience` epochs."""

    monitor: Monitor = "val_loss"
    """The quantity, measured on the validation split."""
    patience: Annotated[int, Field(ge=1)] = 5
    """Epochs without improvement after which the rate falls; it falls again after as many more."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """What the learning rate of all later steps is multiplied by."""
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    """The least change that counts as an improvement."""


class Ema(Section):
    """Keep an exponential moving average of the weights, as Keras does, and validate, select and
    save it in place of the weights (Polyak and Juditsky, 1992).
    """

    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """Fraction of the average that each step keeps: it spans roughly 1 / (1 - decay) steps."""


class OnDivergence(Section):
    """When a loss, gradient or weight is not finite, go back to the last good state."""

    retries: Annotated[int, Field(ge=1)] = 3
    """How many times; after that, training stops with exit code 4."""
    learning_rate_factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """What the learning rate of all later steps is multiplied by each time."""


class Sampling(Section):
    """Draw the images of an epoch by weight: some several times (each time augmented differently),
    some not at all.

    An epoch has as many images as the split. Each image is drawn as often as its weight says,
    rounded up or down, and so is each class (systematic sampling: Madow and Madow, 1944);
    independent draws would leave both to chance.
    """

    by: Literal["class", "weight"]
    """The weights: `class` makes rare classes more frequent, `weight` takes those of the images."""
    power: Annotated[float, Field(ge=0, le=1)] = 1.0
    """How strongly the weights count. By class, an image weighs (number of images of its class) **
    -power: 1 shows all classes equally often, 0.5 in proportion to the square roots of their sizes.
    By weight, it weighs weight ** power."""


NEUTRAL_SETTINGS = {
    "steps_per_execution",
    "device_cache_mib",
    "data_workers",
    "checkpoint",
    "time_limit",
}
"""Settings of `train` that a continued run may change: they affect speed, memory and safety, and
no number."""


class Train(Section):
    """How the model is trained."""

    epochs: Annotated[int, Field(ge=1)] = 20
    """Passes over the training split."""
    batch_size: Annotated[int, Field(ge=1)] = 128
    """Images in a global batch, over all devices together."""
    micro_batch_size: Annotated[int, Field(ge=1)] | None = None
    """Images that a device works on at once; a step adds up the gradients of as many micro-batches
    as its local batch takes. The whole local batch unless given; halved automatically when memory
    runs out. Batch norm sees each micro-batch on its own."""
    augmentation_repeats: Annotated[int, Field(ge=1)] = 1
    """How many times a batch holds each of its images, each time augmented differently (Hoffer et
    al., 2020). An epoch keeps its length: with 4, it shows one image in four, and four epochs show
    all."""
    sampling: Sampling | None = None
    """Draws images by weight. Unless given, each epoch shows every image once."""
    loss: Annotated[PartSettings, PartOf("losses")] = Field(
        default_factory=lambda: parts.default_settings("losses", "cross_entropy")
    )
    """What training minimizes, and the log's `loss` and `val_loss`: a file of imgcls/losses."""
    optimizer: Annotated[OptimizerSettings, PartOf("optimizers")] = Field(
        default_factory=lambda: parts.default_settings("optimizers", "adamw")
    )
    """A file of imgcls/optimizers."""
    schedule: Annotated[PartSettings, PartOf("schedules")] = Field(
        default_factory=lambda: parts.default_settings("schedules", "constant")
    )
    """The learning rate over the steps: a file of imgcls/schedules."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16", "float64"] = "float32"
    """Keras's dtype policy. The mixed ones are for GPUs, float64 is for comparing strategies."""
    strategy: Annotated[StrategySettings, PartOf("strategies")] = Field(
        default_factory=lambda: parts.default_settings("strategies", "one_device")
    )
    """The devices to train on: a file of imgcls/strategies."""
    deterministic: bool = True
    """Use only kernels that give the same bits every time. Without them, a continued or repeated
    run may differ; `imgcls doctor` measures the cost."""
    jit_compile: bool = False
    """Compile the forward and backward pass with XLA, which has no deterministic max pooling."""
    steps_per_execution: Annotated[int, Field(ge=1)] = 16
    """Steps between two checks of signals and the clock; more save overhead with tiny models."""
    device_cache_mib: Annotated[int, Field(ge=0)] = 512
    """MiB of images that each device may hold: splits that fit are copied to it once, larger ones
    are read from the store as needed."""
    data_workers: Annotated[int, Field(ge=1)] | None = None
    """Processes that decode or crop images during training; one for each core unless given."""
    select_weights: Literal["best", "last"] = "best"
    """Which epoch's weights become model.keras: those of the best or of the last."""
    monitor: Monitor = "val_accuracy"
    """What `best` is chosen by, on the validation split; the first of equals wins."""
    early_stopping: EarlyStopping | None = None
    """Stops when validation no longer improves. Off unless given."""
    plateau: Plateau | None = None
    """Lowers the schedule's learning rate when validation no longer improves. Off unless given."""
    ema: Ema | None = None
    """Averages the weights. Off unless given."""
    on_divergence: OnDivergence | None = None
    """Goes back and continues when training diverges. Unless given, training stops at once."""
    time_limit: Annotated[Duration, DurationIn("s", "m", "h")] | None = None
    """How long after the start of the command the state must be saved, such as 55m. The command
    then ends with exit code 75; run it again to continue. No limit unless given."""
    checkpoint: Annotated[Duration, DurationIn("steps", "s", "m", "h")] | None = Duration(
        Decimal(5), "m"
    )
    """How often the state is saved within an epoch, such as 5m or 500 steps; null for never. It is
    always saved at the end of an epoch, and when a signal stops the command."""

    @model_validator(mode="after")
    def _repeats_fill_a_batch(self) -> "Train":
        if self.batch_size % self.augmentation_repeats:
            raise ValueError(
                f"augmentation_repeats is {self.augmentation_repeats}, but batch_size is"
                f" {self.batch_size}: a batch holds each of its images equally often; make"
                " batch_size a multiple of augmentation_repeats"
            )
        return self

    @model_validator(mode="after")
    def _falls_before_it_stops(self) -> "Train":
        stop, plateau = self.early_stopping, self.plateau
        if (
            stop
            and plateau
            and stop.monitor == plateau.monitor
            and stop.patience <= plateau.patience
        ):
            raise ValueError(
                f"early_stopping.patience is {stop.patience}, but plateau.patience is"
                f" {plateau.patience}: training would stop before the learning rate falls; make"
                " early_stopping.patience larger"
            )
        return self


class Evaluate(Section):
    """How a model is evaluated."""

    metrics: list[Annotated[MetricSettings, PartOf("metrics")]] = Field(
        default_factory=lambda: parts.default_settings_of_all("metrics")
    )
    """Files of imgcls/metrics; all of them unless given."""
    intervals: list[str] = ["accuracy", "classification", "log_loss", "brier"]
    """Metrics whose numbers get a bootstrap confidence interval; ranking metrics take longer."""
    bootstrap_samples: Annotated[int, Field(ge=100)] = 1000
    """Resamples of the images for an interval (percentile method, Efron and Tibshirani, 1993)."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Coverage of the intervals."""

    @field_validator("intervals")
    @classmethod
    def _known(cls, value: list[str]) -> list[str]:
        for name in value:
            parts.load("metrics", name)
        return value

    @field_validator("metrics")
    @classmethod
    def _each_once(cls, value: list[MetricSettings]) -> list[MetricSettings]:
        return parts.require_unique(value, "its numbers would have the same names")


NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class Experiment(Section):
    """One experiment: what is trained, on what, and how it is evaluated."""

    name: Annotated[str, Field(json_schema_extra={"pattern": NAME, "maxLength": 100})]
    """The experiment's name; its runs are the folders runs/<name>/<number>."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """The one seed, from which those of splits, weights, order, augmentation and dropout come."""
    data: Annotated[DataSettings, PartOf("datasets")]
    """The images: a file of imgcls/datasets."""
    augment: list[Annotated[AugmentationSettings, PartOf("augmentations")]] = []
    """What is done to training images, in this order: files of imgcls/augmentations."""
    model: Annotated[ModelSettings, PartOf("models")]
    """What is trained: a file of imgcls/models."""
    train: Train = Field(default_factory=Train)
    """How the model is trained."""
    evaluate: Evaluate = Field(default_factory=Evaluate)
    """How the model is evaluated."""
    figures: list[Annotated[PartSettings, PartOf("figures")]] = Field(
        default_factory=lambda: parts.default_settings_of_all("figures")
    )
    """What is drawn: files of imgcls/figures; all of them unless given."""

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, value: str) -> str:
        if len(value) > 100 or not re.fullmatch(NAME, value):
            raise ValueError(
                f"is {value!r}, but names a folder; give at most 100 letters (a to z), digits,"
                " dots, hyphens and underscores, beginning with a letter or a digit"
            )
        return value

    @model_validator(mode="after")
    def _compiles(self) -> "Experiment":
        """Refuse what XLA cannot compile, which would show only once training starts."""
        uses = self.model.get_layer_types() if self.train.jit_compile else set()
        if self.train.deterministic and "max pooling" in uses:
            raise ValueError(
                "train.jit_compile, train.deterministic and the max pooling of model"
                f" {self.model.name} do not work together: XLA has no deterministic max pooling;"
                " set train.deterministic: false, train.jit_compile: false, or a model without max"
                " pooling"
            )
        if self.train.strategy.spans_devices and "batch norm" in uses:
            raise ValueError(
                f"train.jit_compile, train.strategy {self.train.strategy.name} and the batch norm"
                f" of model {self.model.name} do not work together: batch norm synchronizes the"
                " devices, which XLA cannot compile; set train.jit_compile: false, train.strategy:"
                " {name: one_device}, or a model without batch norm"
            )
        return self

    @model_validator(mode="after")
    def _durations_end_within_the_training(self) -> "Experiment":
        durations = {
            f"augment.{index}.until": settings.until for index, settings in enumerate(self.augment)
        }
        if isinstance(self.train.schedule, WarmupSettings):
            durations["train.schedule.warmup"] = self.train.schedule.warmup
        for place, duration in durations.items():
            if duration and duration.unit == "epochs" and duration.number > self.train.epochs:
                raise ValueError(
                    f"{place} is {duration}, but train.epochs is {self.train.epochs}; give at most"
                    " that many, or a percentage such as 50%"
                )
        return self

    def to_yaml(self) -> str:
        """Return the resolved experiment; read again, it gives an equal one."""
        return yaml_file.dump(self.model_dump())

    def identity(self) -> dict[str, Any]:
        """Return what makes two experiments the same training: everything that can change a weight
        or the length of the log.
        """
        identity = self.model_dump(
            exclude={"evaluate": True, "figures": True, "train": NEUTRAL_SETTINGS}
        )
        return identity | {"data": self.data.identity()}
