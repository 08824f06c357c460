"""The sections of an experiment file, with all their defaults. Light zone.

`experiment_file.read_experiment` reads an `Experiment` from a YAML file.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from imgcls import parts
from imgcls.augmentations import AugmentationSettings
from imgcls.compressors import CompressorSettings
from imgcls.datasets import DataSettings
from imgcls.explainers import ExplainerSettings
from imgcls.io import yaml_file
from imgcls.metrics import MetricSettings
from imgcls.models import ModelSettings
from imgcls.parts import PartOf, PartSettings, Section
from imgcls.schedules import WarmupSettings
from imgcls.short_forms import OneMeans, Percentage
from imgcls.train_config import Train
from imgcls.tune_config import Tune

Tta = Literal["flip", "shift", "flip_shift"]


class Evaluate(Section):
    """How a model is evaluated."""

    metrics: Annotated[list[Annotated[MetricSettings, PartOf("metrics")]], OneMeans()] = Field(
        default_factory=lambda: parts.make_all_default_settings("metrics")
    )
    """Files of imgcls/metrics; all of them unless given."""
    intervals: Annotated[list[str], OneMeans()] = [
        "accuracy",
        "classification",
        "log_loss",
        "brier",
    ]
    """Metrics that get bootstrap confidence intervals; ranking metrics take longer."""
    bootstrap_samples: Annotated[int, Field(ge=100, le=1_000_000)] = 1000
    """Number of bootstrap samples (percentile method: Efron and Tibshirani, 1993)."""
    confidence: Annotated[float, Field(gt=0, lt=1), Percentage()] = 0.95
    """Confidence level of the intervals."""
    tta: Annotated[list[Tta], OneMeans()] = []
    """Methods of test-time augmentation, whose numbers are reported beside the plain ones: `flip`
    averages the probabilities of an image and its horizontal flip, `shift` those of the image and
    of two shifted by 1/32 of its size, `flip_shift` those of all six views. Gates, figures and
    comparisons use the plain predictions. None unless given."""

    groups: Annotated[list[str], OneMeans()] = []
    """Columns of `groups_file` for whose values accuracy and log loss are reported; or `group`, the
    groups of the data set. None unless given."""
    groups_file: str | None = None
    """A list of the images as CSV (.csv, .tsv) or JSON lines (.jsonl), in whose column `path` their
    ids are, and in other columns what `groups` names."""

    embedding: Annotated[int, Field(ge=3)] | None = None
    """Images of the map of features, drawn from the split at random, at most; 500 are a good
    number. No map unless given."""
    corruptions: Annotated[
        list[Annotated[PartSettings, PartOf("corruptions")]], Field(min_length=1)
    ] = Field(default_factory=lambda: parts.make_all_default_settings("corruptions"))
    """The corruptions of `eval --corruptions`: files of imgcls/corruptions; all of them unless
    given."""
    corruption_images: Annotated[int, Field(ge=1)] = 2000
    """Images that are corrupted, at most, drawn from the split at random: each is predicted once
    for each corruption and severity."""

    @field_validator("corruptions")
    @classmethod
    def _check_corruptions(cls, value: list[PartSettings]) -> list[PartSettings]:
        return parts.require_unique(value, "its images would count twice in the mean")

    @model_validator(mode="after")
    def _check_groups(self) -> "Evaluate":
        if len(set(self.groups)) < len(self.groups):
            raise ValueError(f"groups lists a column twice; got {', '.join(self.groups)}")
        others = [name for name in self.groups if name != "group"]
        if others and self.groups_file is None:
            raise ValueError(
                f"groups names {others[0]}, which needs a groups_file with this column; without"
                " one, only `group` can be given, the groups of the data set"
            )
        if self.groups_file and not self.groups:
            raise ValueError("groups_file is given without groups; name its columns there")
        return self

    @field_validator("tta")
    @classmethod
    def _check_tta(cls, value: list[Tta]) -> list[Tta]:
        if len(set(value)) < len(value):
            raise ValueError(f"lists a method twice; got {', '.join(value)}")
        return value

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


class Explain(Section):
    """How predictions are explained."""

    methods: Annotated[
        list[Annotated[ExplainerSettings, PartOf("explainers")]], Field(min_length=1)
    ] = Field(
        default_factory=lambda: [
            parts.make_default_settings("explainers", name)
            for name in ("grad_cam", "integrated_gradients")
        ]
    )
    """Files of imgcls/explainers. `--method` names others."""
    images: Annotated[int, Field(ge=1)] = 64
    """Images that are explained, at most, chosen at random by the seed."""
    importance_images: Annotated[int, Field(ge=2)] = 1000
    """Images of a split on which the importance of channels, color, frequencies and regions is
    measured, at most."""
    permutations: Annotated[int, Field(ge=1)] = 3
    """Permutations that are averaged for the importance of a feature."""
    baseline: Literal["mean", "black", "blur"] = "mean"
    """What stands for an image without information: the mean of the training pixels, black, or the
    image blurred by a Gaussian of an eighth of its shorter side."""
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 32
    """Images, or changed copies of one, that are computed at a time; fewer take less memory."""

    @field_validator("methods")
    @classmethod
    def _check_unique(cls, value: list[ExplainerSettings]) -> list[ExplainerSettings]:
        return parts.require_unique(value, "its files would have the same names")


NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class Experiment(Section):
    """An experiment: data, augmentations, model, training, evaluation and figures."""

    name: Annotated[str, Field(json_schema_extra={"pattern": NAME, "maxLength": 100})]
    """The experiment's name; its runs are the folders runs/<name>/<number>."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """The seed from which the seeds of splits, weights, order, augmentation and dropout derive."""
    data: Annotated[DataSettings, PartOf("datasets")]
    """The images: a file of imgcls/datasets."""
    augment: Annotated[
        list[Annotated[AugmentationSettings, PartOf("augmentations")]], OneMeans()
    ] = []
    """The augmentations of training images, in this order: files of imgcls/augmentations."""
    model: Annotated[ModelSettings, PartOf("models")]
    """The model to train: a file of imgcls/models."""
    train: Train = Field(default_factory=Train)
    """How the model is trained."""
    evaluate: Evaluate = Field(default_factory=Evaluate)
    """How the model is evaluated."""
    figures: Annotated[list[Annotated[PartSettings, PartOf("figures")]], OneMeans()] = Field(
        default_factory=lambda: parts.make_all_default_settings("figures")
    )
    """The figures to draw: files of imgcls/figures; all of them unless given."""
    explain: Explain = Field(default_factory=Explain)
    """How `imgcls explain` explains predictions."""
    compress: Annotated[list[Annotated[CompressorSettings, PartOf("compressors")]], OneMeans()] = []
    """The methods by which `imgcls compress` makes a smaller model, in this order: files of
    imgcls/compressors. None unless given, or named by `--method`."""
    tune: Tune | None = None
    """What `imgcls tune` searches, and how. None unless given."""

    @field_validator("compress")
    @classmethod
    def _check_chain(cls, value: list[CompressorSettings]) -> list[CompressorSettings]:
        early = [each.name for each in value[:-1] if each.is_last]
        if early:
            raise ValueError(
                f"has {early[0]} before {value[-1].name}, but no method can follow {early[0]},"
                " which writes a file for another runtime; put it last"
            )
        return value

    @field_validator("name")
    @classmethod
    def _check_folder_name(cls, value: str) -> str:
        if len(value) > 100 or not re.fullmatch(NAME, value):
            raise ValueError(
                f"is {value!r}, but names a folder; give at most 100 letters (a to z), digits,"
                " dots, hyphens and underscores, beginning with a letter or a digit"
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
            of_schedule = self.train.schedule.get_durations()
            durations |= {f"train.schedule.{key}": value for key, value in of_schedule.items()}
        for index, frozen in enumerate(self.train.freeze):
            durations[f"train.freeze.{index}.until"] = frozen.until
        if resizing := self.train.progressive_resizing:
            durations["train.progressive_resizing.until"] = resizing.until
        epochs = self.train.epochs
        for key, duration in durations.items():
            is_in_epochs = duration is not None and duration.unit == "epochs"
            if duration and is_in_epochs and epochs is not None and duration.number > epochs:
                raise ValueError(
                    f"{key} is {duration}, but train.epochs is {epochs}; give at most"
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
        identity = self.model_dump(exclude={"evaluate", "figures", "explain", "compress", "tune"})
        data = self.data.identity() | {"split_seed": self.split_seed}
        return identity | {"data": data, "train": self.train.identity()}
