"""The splits that a source has of its own: one without a usable image is an error. Light zone.

Otherwise `assign_splits` would take the missing split from the training images, as if the source
had none, and nobody would notice that evaluation uses other images than the source says.
"""

from collections import Counter
from collections.abc import Mapping

from imgcls.datasets import SPLITS, DataSettings, Source, SplitName
from imgcls.errors import DataError
from imgcls.io import terminal
from imgcls.store.store import Store


def require_entries(source: Source, data: DataSettings) -> None:
    """Require an entry in each split that the source has, before any image is read.

    Raises:
        DataError: a split has none, and neither `data.splits_file` nor `data.fold` replaces it.
    """
    _require_none(source.empty_splits, data)


def require_images(source: Source, store: Store, data: DataSettings) -> None:
    """Require a usable image in each split of the source that has entries.

    Raises:
        DataError: a split has none, and neither `data.splits_file` nor `data.fold` replaces it.
    """
    counts = Counter(entry.split for entry in source.entries)
    problems = {image.id: image.problem for image in store.manifest.bad_images}
    reasons = {}
    for split in SPLITS:
        if counts[split] and not sum(store.manifest.class_counts[split]):
            name = next(entry.id for entry in source.entries if entry.split == split)
            reasons[split] = (
                f"data.on_bad_image: skip left out all of its {counts[split]:,} images, such as"
                f" {name}: {problems[name]}"
            )
    _require_none(reasons, data)


def _require_none(reasons: Mapping[SplitName, str], data: DataSettings) -> None:
    """Raise an error if there are reasons for which splits that matter cannot be used."""
    if data.splits_file:
        return
    needed = [split for split in SPLITS if split in reasons and not (split == "test" and data.fold)]
    if not needed:
        return
    instead = {
        "train": "there is nothing to train on",
        "validation": (
            f"{100 * data.validation:g} % of the training images become validation"
            " (data.validation)"
            if data.validation
            else "there is no validation split (data.validation: 0)"
        ),
        "test": f"{100 * data.test:g} % of all images become test (data.test)",
    }
    lines = [terminal.to_printable(f"{split}: {reasons[split]}") for split in needed]
    raise DataError(
        f"the source has {' and '.join(needed)}, but no image of"
        f" {'it' if len(needed) == 1 else 'them'} can be used:\n{terminal.format_lines(lines)}\n"
        "repair the source; or remove the split from it, and then"
        f" {', '.join(instead[split] for split in needed)}; or set data.splits_file"
        f"{' or data.fold' if needed == ['test'] else ''} to override the source"
    )
