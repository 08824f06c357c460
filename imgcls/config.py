"""The experiment: its sections, with every default in one place. Light zone.

`read_experiment` in `experiment_file.py` makes one from a YAML file.
"""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from imgcls import parts
from imgcls.augmentations import AugmentationSettings
from imgcls.datasets import DataSettings
from imgcls.durations import Duration, DurationIn
from imgcls.io import yaml_file
from imgcls.parts import PartOf, PartSettings, Section

Monitor = Literal["val_loss", "val_accuracy"]


class EarlyStopping(Section):
    """Stop when the monitored quantity has not improved for `patience` epochs."""

    monitor: Monitor = "val_loss"
    """What is watched on the validation split."""
    patience: Annotated[int, Field(ge=1)] = 10
    """Epochs without improvement after which training stops."""
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    """The least change that counts as an improvement."""


class Plateau(Section):
    """Lower the learning rate each time that the monitored quantity has not improved for `patience`
    epochs.
    """

    monitor: Monitor = "val_loss"
    """What is watched on the validation split."""
    patience: Annotated[int, Field(ge=1)] = 5
    """Epochs without improvement after which the rate falls; it falls again after as many more."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """By what the learning rate of all later steps is multiplied."""
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    """The least change that counts as an improvement."""


class Ema(Section):
    """Validate, choose and keep an exponential moving average of the weights (Polyak and Juditsky,
    1992, with Keras's decay).
    """

    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """Share of the old average that a step keeps: the average reaches back over some 1 / (1 -
    decay) steps.
    """


class OnDivergence(Section):
    """What to do when the loss, a gradient or a weight is not finite: load the last good
    state, and go on more slowly.
    """

    retries: Annotated[int, Field(ge=1)] = 3
    """How often; then training stops with exit code 4."""
    learning_rate_factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """By what the learning rate of all later steps is multiplied each time."""


class Sampling(Section):
    """Draw the images of an epoch by weights, some several times (differently augmented) and some
    not at all.

    An epoch has as many images as the split. Each image is drawn as often as its weight says,
    rounded up or down, and each class too (systematic sampling: Madow and Madow, 1944), where
    independent draws would leave both to chance.
    """

    by: Literal["class", "weight"]
    """What decides: `class` makes rare classes more frequent, `weight` takes the weights that come
    with the images.
    """
    power: Annotated[float, Field(ge=0, le=1)] = 1.0
    """How far: an image weighs its class's number of images, or 1 over its weight, to the power of
    -power. 1 shows all classes equally often, 0.5 by the roots of their numbers."""


NEUTRAL_SETTINGS = {
    "steps_per_execution",
    "device_cache_mib",
    "data_workers",
    "checkpoint",
    "time_limit",
}
"""Settings of `train` that a continued run may change: they decide on speed, memory and safety
alone.
"""


class Train(Section):
    """How the model is trained."""

    epochs: Annotated[int, Field(ge=1)] = 20
    """Passes over the training split."""
    batch_size: Annotated[int, Field(ge=1)] = 128
    """Images in a global batch, over all devices together."""
    micro_batch_size: Annotated[int, Field(ge=1)] | None = None
    """Images that a device works on at once: a step adds up the gradients of as many parts as that
    takes. All of its share unless given; halved by itself when memory runs out. Batch norm then
    sees each part by itself."""
    augmentation_repeats: Annotated[int, Field(ge=1)] = 1
    """How often a batch holds each of its images, differently augmented (Hoffer et al., 2020). An
    epoch keeps its length: it shows one image in so many, and so many epochs show all."""
    sampling: Sampling | None = None
    """Off unless given: every image comes once an epoch."""
    loss: Annotated[PartSettings, PartOf("losses")] = Field(
        default_factory=lambda: parts.default_settings("losses", "cross_entropy")
    )
    """What is minimized, and what the log's `loss` and `val_loss` are: a file of imgcls/losses."""
    optimizer: Annotated[PartSettings, PartOf("optimizers")] = Field(
        default_factory=lambda: parts.default_settings("optimizers", "adamw")
    )
    """A file of imgcls/optimizers."""
    schedule: Annotated[PartSettings, PartOf("schedules")] = Field(
        default_factory=lambda: parts.default_settings("schedules", "constant")
    )
    """The learning rate over the steps: a file of imgcls/schedules."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16", "float64"] = "float32"
    """Keras's dtype policy; the mixed ones are for GPUs. float64 is for comparing strategies."""
    strategy: Annotated[PartSettings, PartOf("strategies")] = Field(
        default_factory=lambda: parts.default_settings("strategies", "one_device")
    )
    """The devices: a file of imgcls/strategies."""
    deterministic: bool = True
    """Use kernels that give the same bits each time. Without them, a continued or repeated run may
    differ; `imgcls doctor` measures the cost."""
    jit_compile: bool = False
    """Compile the forward and backward pass with XLA. It has no deterministic max pooling."""
    steps_per_execution: Annotated[int, Field(ge=1)] = 16
    """Steps that run between two looks at signals and the clock; more saves overhead for tiny
    models.
    """
    device_cache_mib: Annotated[int, Field(ge=0)] = 512
    """MiB of images that each device may hold: splits that fit are copied to it once, larger ones
    are streamed from the store.
    """
    data_workers: Annotated[int, Field(ge=1)] | None = None
    """Processes that decode images, or cut windows out of stored pixels, while the network trains;
    one for each core unless given.
    """
    select_weights: Literal["best", "last"] = "best"
    """Which epoch's weights become model.keras."""
    monitor: Monitor = "val_accuracy"
    """What `best` is chosen by, on the validation split; the first of equals is kept."""
    early_stopping: EarlyStopping | None = None
    """Off unless given."""
    plateau: Plateau | None = None
    """Off unless given. It multiplies what the schedule says."""
    ema: Ema | None = None
    """Off unless given."""
    on_divergence: OnDivergence | None = None
    """Off unless given: training stops at once."""
    time_limit: Annotated[Duration, DurationIn("s", "m", "h")] | None = None
    """Time from the start of the command by which the state must be saved, such as 55m; the command
    then ends with exit code 75, and goes on when it is repeated. Off unless given.
    """
    checkpoint: Annotated[Duration, DurationIn("steps", "s", "m", "h")] | None = Duration(
        Decimal(5), "m"
    )
    """How often the state is saved within an epoch, such as 5m or 500 steps; null for never. The
    end of an epoch and a signal always save it.
    """

    @model_validator(mode="after")
    def _repeats_fill_a_batch(self) -> "Train":
        if self.batch_size % self.augmentation_repeats:
            raise ValueError(
                f"augmentation_repeats is {self.augmentation_repeats}, batch_size is"
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
                f"early_stopping.patience is {stop.patience}, plateau.patience is"
                f" {plateau.patience}: training would stop before the learning rate falls; make the"
                " first one larger"
            )
        return self


class Evaluate(Section):
    """How a model is evaluated."""

    metrics: list[Annotated[PartSettings, PartOf("metrics")]] = Field(
        default_factory=lambda: parts.default_settings_of_all("metrics")
    )
    """Files of imgcls/metrics; all of them unless given."""
    intervals: list[str] = ["accuracy", "classification", "log_loss", "brier"]
    """Metric parts whose numbers get a bootstrap confidence interval; ranking metrics cost more
    time.
    """
    bootstrap_samples: Annotated[int, Field(ge=100)] = 1000
    """Bootstrap resamples of the images (Efron and Tibshirani, 1993, percentile method)."""
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
    def _each_once(cls, value: list[PartSettings]) -> list[PartSettings]:
        return parts.require_unique(value, "its numbers would have the same names")


class Experiment(Section):
    """One experiment: what is trained, on what, and how it is evaluated."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    """The name of the run folders: runs/<name>/<number>."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """The one seed, from which named sub-seeds come (imgcls/seeds.py)."""
    data: Annotated[DataSettings, PartOf("datasets")]
    """A file of imgcls/datasets."""
    augment: list[Annotated[AugmentationSettings, PartOf("augmentations")]] = []
    """Files of imgcls/augmentations, applied in this order to training images."""
    model: Annotated[PartSettings, PartOf("models")]
    """A file of imgcls/models."""
    train: Train = Field(default_factory=Train)
    """How the model is trained."""
    evaluate: Evaluate = Field(default_factory=Evaluate)
    """How it is evaluated."""
    figures: list[Annotated[PartSettings, PartOf("figures")]] = Field(
        default_factory=lambda: parts.default_settings_of_all("figures")
    )
    """Files of imgcls/figures; all of them unless given."""

    @model_validator(mode="after")
    def _compiles(self) -> "Experiment":
        """Refuse what XLA cannot compile, which would show only once training starts."""
        uses = self.model.uses() if self.train.jit_compile else set()
        if self.train.deterministic and "max pooling" in uses:
            raise ValueError(
                "train.jit_compile, train.deterministic and the max pooling of model"
                f" {self.model.name} do not work together: XLA has no deterministic max pooling;"
                " set train.deterministic: false, train.jit_compile: false, or a model without max"
                " pooling"
            )
        if self.train.strategy.several_devices and "batch norm" in uses:
            raise ValueError(
                f"train.jit_compile, train.strategy {self.train.strategy.name} and the batch norm"
                f" of model {self.model.name} do not work together: devices meet in every batch"
                " norm, which XLA cannot compile; set train.jit_compile: false, train.strategy:"
                " {name: one_device}, or a model without batch norm"
            )
        return self

    @model_validator(mode="after")
    def _augmentations_end_within_the_training(self) -> "Experiment":
        for index, settings in enumerate(self.augment):
            until, epochs = settings.until, self.train.epochs
            if until and until.unit == "epochs" and until.number > epochs:
                raise ValueError(
                    f"augment.{index}.until is {until}, but train.epochs is {epochs}; give at most"
                    " that many, a percentage such as 90%, or no until"
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
