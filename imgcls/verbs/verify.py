"""The verb `verify`: is a prepared store still what was prepared, to the last byte? Light zone."""

from typing import Any

from imgcls.config import Experiment
from imgcls.store import lookup


def verify(experiment: Experiment) -> dict[str, Any]:
    """Read every byte of an experiment's prepared store and compare it with the manifest; report
    what was read.

    Raises:
        DataError: nothing is prepared, or it was changed or damaged since.
    """
    store, split = lookup.find_store(experiment)
    store.verify(all_files=True)
    size = sum(store.manifest.sizes.values())
    return {
        "folder": str(store.folder),
        "fingerprint": store.fingerprint,
        "split": split.key,
        "images": store.count,
        "bytes": size,
    }


def format_report(report: dict[str, Any]) -> str:
    """Return what `verify` found as one line of text."""
    return (
        f"{report['folder']} is whole: {report['images']:,} images, {report['bytes']:,} bytes, as"
        " they were prepared"
    )
