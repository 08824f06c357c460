"""What the scores of a method say, and whether to believe its maps, in words. Light zone."""

from collections.abc import Sequence

from imgcls import parts
from imgcls.explanation.record import (
    MOST_SIMILAR,
    CurveScore,
    FeatureImportance,
    RandomizedLayers,
)

LEAST_IMAGES = 10
"""With fewer images, nothing is said about a method: their interval says little."""


def get_title(method: str) -> str:
    """Return the name of a method as people write it, such as `Grad-CAM`."""
    return parts.summarize(parts.load("explainers", method)).partition(":")[0]


def describe_finding(method: str, deletion: CurveScore, insertion: CurveScore, images: int) -> str:
    """Return what deletion and insertion say of the maps of a method."""
    title = get_title(method)
    areas = (
        f"deletion {deletion.area:.2f} (random {deletion.random_area:.2f}), insertion"
        f" {insertion.area:.2f} (random {insertion.random_area:.2f})"
    )
    if images < LEAST_IMAGES:
        return f"{title}: {images} images are too few to say whether it beats a random map: {areas}"
    scores = (deletion, insertion)
    if all(score.is_better for score in scores):
        return f"{title} marks what the prediction depends on: {areas}"
    if any(score.is_better for score in scores) and not any(score.is_worse for score in scores):
        return f"{title} beats a random map in one of two scores: {areas}"
    if any(score.is_worse for score in scores):
        return f"{title} is worse than a random map in a score: {areas}"
    return f"{title} is no better than a random map: {areas}"


def describe_advice(
    deletion: CurveScore,
    insertion: CurveScore,
    randomization: Sequence[RandomizedLayers],
    images: int,
) -> str:
    """Return whether to believe the maps, and why."""
    last = randomization[-1]
    depends = last.similarity_interval[1] < MOST_SIMILAR
    similarity = (
        f"with random weights in all {last.of} layers, the maps have a rank correlation of"
        f" {last.similarity:.2f} with these"
    )
    if images < LEAST_IMAGES:
        return (
            f"not decided: explain at least {LEAST_IMAGES} images, such as with --split;"
            f" {similarity}"
        )
    if not depends:
        return (
            f"do not believe these maps: {similarity}, not surely below {MOST_SIMILAR:g}, so they"
            " show the picture more than what was learned"
        )
    if deletion.is_better and insertion.is_better:
        return (
            f"these maps can be believed: they beat a random map in both scores, and {similarity}"
        )
    if deletion.is_better or insertion.is_better:
        return (
            "believe these maps with care: only one of two scores beats a random map, though"
            f" {similarity}"
        )
    return (
        "do not believe these maps: neither score beats a random map, though they depend on the"
        f" weights ({similarity})"
    )


def describe_importance(features: Sequence[FeatureImportance], accuracy: float) -> str:
    """Return what carries the accuracy most."""
    top = max(features, key=lambda each: each.drop)
    if top.drop_interval[0] <= 0:
        return f"no single feature carries the accuracy of {accuracy:.3f} for sure"
    return (
        f"the accuracy of {accuracy:.3f} falls most, by {top.drop:.3f}, without the image's own"
        f" {top.name}"
    )
