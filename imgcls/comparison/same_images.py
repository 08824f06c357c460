"""Checks that runs were evaluated on the same images. Light zone."""

from imgcls.comparison.candidate import PredictedCandidate
from imgcls.errors import DataError
from imgcls.evaluation.predictions import Predictions
from imgcls.run import Run


def require_same_images(old: PredictedCandidate, new: PredictedCandidate) -> None:
    """Check that all runs of two candidates were evaluated on the same images of the same store.

    Runs by fold are compared fold by fold. Other splits of the same store are allowed if the
    evaluated images are the same, as with another fraction of validation images.

    Raises:
        DataError: the stores, classes, images or labels differ.
    """
    kinds = {each.candidate.by == "fold" for each in (old, new)}
    sizes = {len(each.candidate.runs) for each in (old, new)}
    if len(kinds) > 1 or (kinds == {True} and len(sizes) > 1):
        raise DataError(
            f"{old.candidate.folder} ({_describe(old)}) and {new.candidate.folder}"
            f" ({_describe(new)}) were not evaluated on the same images; compare a family by fold"
            " with another that has as many folds"
        )
    for index, (run, found) in enumerate(zip(new.candidate.runs, new.predictions, strict=True)):
        place = index if old.candidate.by == "fold" else 0
        _require_same(old.candidate.runs[place], old.predictions[place], run, found)


def _describe(predicted: PredictedCandidate) -> str:
    by, count = predicted.candidate.by, len(predicted.candidate.runs)
    return f"{count} runs by {by}" if by else "a run"


def _require_same(old: Run, old_found: Predictions, new: Run, new_found: Predictions) -> None:
    difference = (
        _compare_classes(old_found.classes, new_found.classes)
        or _compare_stores(old, new)
        or _compare_labels(old_found, new_found)
        or ("" if old_found.ids == new_found.ids else "their splits differ")
    )
    if difference:
        shared = len(set(old_found.ids) & set(new_found.ids))
        raise DataError(
            f"{old.folder} and {new.folder} were not evaluated on the same images: {difference};"
            f" {shared:,} image ids are in both, of {len(old_found.ids):,} and"
            f" {len(new_found.ids):,}; train both on one store and split (runs with other seeds"
            " share a split if data.split_seed is the same)"
        )


def _compare_classes(old: list[str], new: list[str]) -> str:
    if old == new:
        return ""
    if sorted(old) == sorted(new):
        return "their classes are in another order"
    only_old, only_new = (sorted({*a} - {*b}) for a, b in ((old, new), (new, old)))
    examples = [
        f"'{names[0]}' is only in {side}"
        for names, side in ((only_old, "the first"), (only_new, "the second"))
        if names
    ]
    return f"their classes differ ({len(old)} and {len(new)}; {', '.join(examples)})"


def _compare_stores(old: Run, new: Run) -> str:
    before, after = old.data.fingerprint, new.data.fingerprint
    return "" if before == after else f"their stores are {before[:12]} and {after[:12]}"


def _compare_labels(old: Predictions, new: Predictions) -> str:
    labels = dict(zip(old.ids, old.labels.tolist(), strict=True))
    changed = [
        name
        for name, label in zip(new.ids, new.labels.tolist(), strict=True)
        if labels.get(name, label) != label
    ]
    return f"the labels of {len(changed):,} images differ, such as {changed[0]}" if changed else ""
