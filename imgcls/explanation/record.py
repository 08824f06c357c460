"""The records of explanations: maps, their scores, and the importance of features. Light zone."""

from typing import Annotated, Any, Literal

from pydantic import Field

from imgcls.evaluation.intervals import Interval
from imgcls.io.array_records import Array, ArrayRecord, NDArray
from imgcls.io.records import Record

Fraction = Annotated[float, Field(ge=0, le=1)]
Correlation = Annotated[float, Field(ge=-1, le=1)]
MOST_SIMILAR = 0.5
"""Above this rank correlation with the maps of a network of random weights, a method does not show
what was learned."""


class MapArrays(ArrayRecord):
    """The maps of some images, in their order, and what is known of each image."""

    maps: Annotated[NDArray, Array("float32", "images", "height", "width")]
    """What each pixel contributes to the class; the method says in which unit."""
    ids: Annotated[NDArray, Array("U", "images")]
    """Image ids from the store, or paths."""
    explained: Annotated[NDArray, Array("int32", "images")]
    """The number of the class that each map explains: the predicted one."""
    probabilities: Annotated[NDArray, Array("float32", "images")]
    """The probability of that class."""
    labels: Annotated[NDArray, Array("int32", "images")] | None = None
    """True class numbers; missing for files, of which they are not known."""
    deletion: Annotated[NDArray, Array("float32", "images")]
    """Area under the probability while pixels are deleted in the order of the map, 0..1."""
    insertion: Annotated[NDArray, Array("float32", "images")]
    """Area under the probability while pixels are inserted in the order of the map, 0..1."""
    random_deletion: Annotated[NDArray, Array("float32", "images")]
    """As `deletion`, in a random order."""
    random_insertion: Annotated[NDArray, Array("float32", "images")]
    """As `insertion`, in a random order."""
    classes: Annotated[NDArray, Array("U", "classes")]
    """Class names in label order."""
    region_classes: Annotated[NDArray, Array("int32", "regions")] | None = None
    """The classes of `region_maps`; missing for files."""
    region_maps: Annotated[NDArray, Array("float32", "regions", "height", "width")] | None = None
    """Of each predicted class, the mean of its absolute maps, each of which sums to 1."""


class CurveScore(Record):
    """The mean area under a curve of the probability, beside that of a random map."""

    area: Fraction
    """Mean over the images with the order of the map."""
    random_area: Fraction
    """Mean over the images with a random order."""
    gain: float
    """By how much the map is better than the random one: positive where it is."""
    gain_interval: Interval
    """Its bootstrap interval over the images."""

    @property
    def is_better(self) -> bool:
        """Whether the interval of the gain is above 0."""
        return self.gain_interval[0] > 0

    @property
    def is_worse(self) -> bool:
        """Whether the interval of the gain is below 0."""
        return self.gain_interval[1] < 0


class RandomizedLayers(Record):
    """The maps of a network whose last layers have random weights."""

    layers: int
    """How many layers are random, from the last one."""
    of: int
    """How many layers with weights there are."""
    first: str
    """The first of the random layers."""
    similarity: Correlation
    """Mean rank correlation (Spearman) with the maps of the trained network, of absolute values."""
    similarity_interval: Interval
    """Its bootstrap interval over the images."""


class Region(Record):
    """Where the maps of a predicted class have their mass."""

    name: str
    """The name of the class."""
    images: int
    """Explained images that were predicted as it."""
    center: Fraction
    """The share of the mass in the middle half of the height and of the width; a quarter if it is
    spread evenly."""
    border: Fraction
    """The share of the mass in the outer eighth on each side; 0.4375 if it is spread evenly."""


class ExplainedImage(Record):
    """An image and its prediction."""

    id: str
    """Its id in the store, or its path."""
    predicted: str
    """The predicted class, which is explained."""
    probability: Fraction
    """Its probability."""
    label: str | None
    """The true class; null for files."""


class Provenance(Record):
    """What numbers were made of."""

    model: str
    """The SHA-256 of the run's model."""
    seed: int
    """The seed of the experiment, from which the choice of images and all random numbers derive."""
    confidence: float
    """Confidence level of the intervals."""
    bootstrap_samples: int
    """Number of bootstrap samples."""


class MethodScores(Provenance):
    """What is known of the maps of one method."""

    method: str
    """The name of the explainer."""
    settings: dict[str, Any]
    """Its settings."""
    baseline: str
    """What stands for an image without information: mean, black or blur."""
    images: int
    """Number of images explained."""
    deletion: CurveScore
    """The area while pixels are deleted; lower is better."""
    insertion: CurveScore
    """The area while pixels are inserted; higher is better."""
    randomization: list[RandomizedLayers]
    """The similarity to maps of networks with random weights, with more and more layers."""
    randomized_images: int
    """Number of images for which these were computed."""
    regions: list[Region]
    """The predicted classes with most images; empty for files."""
    finding: str
    """What the scores say, in a sentence."""
    advice: str
    """Whether to believe the maps."""


class FeatureImportance(Record):
    """By how much the accuracy falls if a feature is taken from other images."""

    kind: Literal["channel", "color", "frequencies", "region"]
    """What it is."""
    name: str
    """Its name; frequencies are in cycles a pixel, regions are numbered by row and column."""
    place: Annotated[tuple[int, int], Field(strict=False)] | None
    """Row and column of a region, from 0; else null."""
    drop: float
    """The fall of the accuracy; negative if it rises."""
    drop_interval: Interval
    """Its bootstrap interval over the images."""


class Importance(Provenance):
    """What carries the accuracy of a model on a split."""

    images: int
    """Number of images."""
    permutations: int
    """Permutations that were averaged."""
    accuracy: Fraction
    """The accuracy on these images as they are."""
    features: list[FeatureImportance]
    """The features."""
    finding: str
    """What matters most, in a sentence."""

    def rank(self) -> list[FeatureImportance]:
        """Return the features by the fall of the accuracy, the largest first."""
        return sorted(self.features, key=lambda each: -each.drop)


class Explanation(Record):
    """What a call of `explain` found, which `--json` prints."""

    run: str
    """The folder of the run."""
    name: str
    """The split, or `files`."""
    images: list[ExplainedImage]
    """The explained images."""
    methods: list[MethodScores]
    """The scores of each method."""
    importance: Importance | None
    """What carries the accuracy; null for files, and of a single image."""
