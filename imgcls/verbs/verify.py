"""The verb `verify`: compares every byte of a prepared store with its checksum. Light zone."""

from typing import Any

from imgcls.config import Experiment
from imgcls.store import lookup


def verify(experiment: Experiment) -> dict[str, Any]:
    """Read every byte of an experiment's store, and compare it with the manifest.

    Returns:
        Folder, fingerprint, split, and the numbers of images and bytes.

    Raises:
        DataError: the data is not prepared, or was changed or damaged since.
    """
    store, split = lookup.find_store(experiment)
    store.verify(max_bytes=None)
    size = sum(store.manifest.sizes.values())
    return {
        "folder": str(store.folder),
        "fingerprint": store.fingerprint,
        "split": split.key,
        "images": store.count,
        "bytes": size,
    }


def format_report(report: dict[str, Any]) -> str:
    """Format the result of `verify` as a line of text."""
    return (
        f"{report['folder']} is unchanged since it was prepared: {report['images']:,} images,"
        f" {report['bytes']:,} bytes"
    )
