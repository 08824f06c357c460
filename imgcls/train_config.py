"""The section `train` of an experiment file, with all defaults. Light zone."""

from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from imgcls.durations import Duration, DurationIn
from imgcls.learning_rate_settings import LearningRateFactor, LearningRateScaling
from imgcls.losses._distillation import Distillation
from imgcls.monitor_settings import EarlyStopping, Monitor, Plateau
from imgcls.optimizers import OptimizerSettings
from imgcls.parts import PartOf, PartSettings, Section, must_be
from imgcls.phase_settings import Freeze, ProgressiveResizing
from imgcls.short_forms import OneMeans
from imgcls.strategies import StrategySettings

Precision = Literal["float32", "tensorfloat32", "mixed_bfloat16", "mixed_float16", "float64"]
LOSS = PartOf("losses", default="cross_entropy")
OPTIMIZER = PartOf("optimizers", default="adamw")
SCHEDULE = PartOf("schedules", default="constant")
STRATEGY = PartOf("strategies", default="one_device")


class Ema(Section):
    """Validate, select and save an exponential moving average (EMA) of the weights.

    As in Keras (Polyak and Juditsky, 1992); training continues with the weights themselves.
    """

    short: ClassVar[str | None] = "decay"

    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """Decay of the average per step; it spans roughly 1 / (1 - decay) steps."""


class PreciseBatchNorm(Section):
    """Estimate the statistics of batch norm again before each validation.

    The batches are the last ones that were trained on, augmented as they were; the weights are
    those that are validated. Batch norm in frozen layers is left alone.
    """

    short: ClassVar[str | None] = "batches"

    batches: Annotated[int, Field(ge=1)] = 64
    """Number of batches; fewer while training has not had as many."""


class Soup(Section):
    """Average the weights of the best epochs (greedy soup: Wortsman et al., 2022)."""

    short: ClassVar[str | None] = "checkpoints"

    checkpoints: Annotated[int, Field(ge=2)] = 5
    """Number of the best epochs whose weights are kept until the end, and tried."""


class OnDivergence(Section):
    """When a loss, gradient or weight is not finite, go back to the last checkpoint."""

    short: ClassVar[str | None] = "retries"

    retries: Annotated[int, Field(ge=1, le=1000)] = 3
    """Maximum number of retries; after that, training stops with exit code 4."""
    learning_rate_factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Factor by which each retry multiplies the learning rate of all later steps."""


class Sampling(Section):
    """Sample the images of an epoch by weight, some several times and some not at all.

    An epoch has as many images as the split. Each image, and each class, is sampled as often as
    expected from its weight, rounded up or down (systematic sampling: Madow and Madow, 1944);
    independent draws would add variance. Repeated images are augmented differently.
    """

    short: ClassVar[str | None] = "by"

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
    "tensorboard",
    "time_limit",
    "gpu_memory",
}
"""Settings of `train` that a continued run may change, since they do not affect results. Parts name
theirs in `neutral`.
"""


class Train(Section):
    """How the model is trained."""

    epochs: Annotated[int, Field(ge=0, le=1_000_000)] | None = 20
    """Passes over the training split; null with `budget`, which plans them; 0 only with
    `head_init`, which is then the whole training."""
    head_init: Literal["linear_probe"] | None = None
    """Starts the last dense layer from a regularized logistic regression on the features that enter
    it, without augmentation, instead of random weights."""
    budget: Annotated[Duration, DurationIn("s", "m", "h")] | None = None
    """Time for the whole training, such as 10m. A new run measures its speed, and plans the number
    of epochs that fit, which sets the schedule and all durations; a continued or reproduced run
    keeps the plan. Unlike `time_limit`, it does not stop anything. None unless given."""
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 128
    """Images per global batch, over all devices together."""
    micro_batch_size: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Images that a device processes at once; gradients are accumulated over the micro-batches of
    its local batch. The size of the local batch unless given; halved automatically when memory runs
    out. Batch norm normalizes each micro-batch separately."""
    augmentation_repeats: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """How often a batch contains each of its images, each time augmented differently (Hoffer et
    al., 2020). The length of an epoch does not change: with 4, an epoch shows a quarter of the
    images, and four epochs show all."""
    sampling: Sampling | None = None
    """Samples images by weight. Unless given, each epoch shows every image once."""
    loss: Annotated[PartSettings, LOSS] = Field(default_factory=LOSS.make_default)
    """The training loss, which is also the log's `loss` and `val_loss`: a file of imgcls/losses."""
    distillation: Distillation | None = None
    """Trains on the predictions of another run's model beside the labels. Off unless given."""
    class_weights: Annotated[
        Literal["balanced"] | dict[str, Annotated[float, Field(gt=0)]] | None,
        must_be("balanced, or a mapping of class names to weights above 0"),
    ] = None
    """Multiplies the training loss of each image by a weight of its class, or for mixed targets, by
    their expected weight: `balanced` for weights in inverse proportion to the size of the classes
    in the training split, or weights by name, 1 for classes that are not named. They are scaled to
    a mean of 1 over the training images. The log's losses are those without weights. None unless
    given."""
    optimizer: Annotated[OptimizerSettings, OPTIMIZER] = Field(
        default_factory=OPTIMIZER.make_default
    )
    """A file of imgcls/optimizers."""
    schedule: Annotated[PartSettings, SCHEDULE] = Field(default_factory=SCHEDULE.make_default)
    """The learning rate over the steps: a file of imgcls/schedules."""
    learning_rate_scaling: LearningRateScaling | None = None
    """Scales the optimizer's learning rate by the batch size. It is used as it is unless given."""
    learning_rate_factors: list[LearningRateFactor] = []
    """Multiplies the learning rates of some layers."""
    layer_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Factor on the learning rate of a block relative to that of the next one, or of the last
    layer, which has the optimizer's, as in timm. No such factors unless given."""
    global_clipnorm: Annotated[float, Field(gt=0)] | None = None
    """The largest L2 norm of the gradients of all weights together, averaged over the global batch;
    longer ones are scaled down to it. No limit unless given."""
    freeze: Annotated[list[Freeze], OneMeans()] = []
    """Layers that are not trained, in sections that may overlap. None unless given."""
    precision: Precision = "float32"
    """float32 is that of IEEE 754; tensorfloat32 allows GPUs to multiply float32 in TensorFloat-32,
    with 10 bits of the mantissa. The mixed ones are Keras's dtype policies, for GPUs; float64 is
    for comparing strategies."""
    strategy: Annotated[StrategySettings, STRATEGY] = Field(default_factory=STRATEGY.make_default)
    """The devices to train on: a file of imgcls/strategies."""
    gpu_memory: Annotated[
        Annotated[float, Field(gt=0, le=1)] | Literal["growth"] | None,
        must_be("growth, or a fraction above 0 and up to 1"),
    ] = None
    """The memory that training takes on each of its GPUs: `growth` for what it needs, which grows,
    or a fraction of the total, such as 0.5. Unless given, nearly all of it, at the start."""
    deterministic: bool = True
    """Use deterministic kernels only. Otherwise, a continued or repeated run may differ; `imgcls
    doctor` measures the cost."""
    jit_compile: bool = False
    """Compile the forward and backward pass with XLA, which has no deterministic max pooling. The
    result is rounded differently; augmentations and dropout masks stay the same."""
    steps_per_execution: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Steps in one call of a compiled function; signals and the clock are checked between calls.
    Unless given, chosen from the times of the first calls, for about 0.2 s a call. Results do not
    depend on it."""
    device_cache_mib: Annotated[int, Field(ge=0, lt=2**40)] = 512
    """MiB of images that each device may cache: splits that fit are copied to the device once,
    larger ones are read from the store as needed. Images that are augmented for GPUs are cached in
    the host's memory instead, since they are augmented on the CPU."""
    data_workers: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Processes that decode, crop or resize images; one per core unless given."""
    select_weights: Literal["best", "last", "soup"] = "best"
    """Whether model.keras gets the weights of the best epoch, of the last, or a soup: an average of
    those of the best epochs, where one goes in if validation does not get worse."""
    soup: Soup | None = None
    """How `select_weights: soup` averages; the best 5 epochs unless given."""
    monitor: Monitor = "val_accuracy"
    """Quantity on the validation split that defines the best epoch. On a tie, the other quantity
    decides, then the later epoch."""
    early_stopping: EarlyStopping | None = None
    """Stops when validation no longer improves. Off unless given."""
    plateau: Plateau | None = None
    """Reduces the learning rate when validation no longer improves. Off unless given."""
    ema: Ema | None = None
    """Averages the weights. Off unless given."""
    progressive_resizing: ProgressiveResizing | None = None
    """Trains on smaller images first. Off unless given."""
    precise_batch_norm: PreciseBatchNorm | None = None
    """Estimates the statistics of batch norm exactly (Wu and Johnson, 2021), instead of by moving
    averages. Off unless given."""
    calibration: Literal["temperature", "none"] = "temperature"
    """Whether the logits are divided by a temperature that is fitted on the validation split."""
    on_divergence: OnDivergence | None = None
    """Retries from the last checkpoint when training diverges. Unless given, training stops."""
    time_limit: Annotated[Duration, DurationIn("s", "m", "h")] | None = None
    """Time from the start of the command, such as 55m, within which the last checkpoint is saved.
    The command then ends with exit code 75; run it again to continue. No limit unless given."""
    checkpoint: Annotated[Duration, DurationIn("steps", "s", "m", "h")] | None = Duration(
        Decimal(5), "m"
    )
    """How often a checkpoint is saved within an epoch, such as 5m or 500 steps; null for never. One
    is always saved at the end of an epoch, and when a signal stops the command."""

    tensorboard: bool = False
    """Whether the log is also written for TensorBoard, as event files in the run's folder."""

    @model_validator(mode="before")
    @classmethod
    def _leave_epochs_to_the_budget(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("budget") is not None:
            return {"epochs": None, **value}
        return value

    @model_validator(mode="after")
    def _check_epochs_or_budget(self) -> "Train":
        if self.epochs == 0 and self.head_init is None:
            raise ValueError("epochs is 0, so nothing is trained; set head_init, or more epochs")
        if self.epochs == 0 and self.select_weights == "soup":
            raise ValueError("epochs is 0, but select_weights is soup, which averages epochs")
        if self.epochs is None and self.budget is None:
            raise ValueError("epochs is null; give a number of epochs, or a budget such as 10m")
        if self.epochs is not None and self.budget is not None:
            raise ValueError(
                f"epochs is {self.epochs}, but budget is {self.budget}, which plans the epochs;"
                " give one of them, and null for the other"
            )
        return self

    @model_validator(mode="after")
    def _check_soup(self) -> "Train":
        if self.soup and self.select_weights != "soup":
            raise ValueError(
                f"soup is given, but select_weights is {self.select_weights}; set select_weights:"
                " soup, or remove soup"
            )
        return self

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
    def _check_averages(self) -> "Train":
        if self.ema and self.optimizer.averages_weights:
            raise ValueError(
                f"has ema, but optimizer {self.optimizer.name} averages the weights itself; remove"
                " one of them"
            )
        return self

    def identity(self) -> dict[str, Any]:
        """Return the settings that can change a weight or the length of the log."""
        own = self.model_dump(exclude=NEUTRAL_SETTINGS)
        parts = {name: value for name, value in self if isinstance(value, PartSettings)}
        return own | {name: value.identity() for name, value in parts.items()}

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
