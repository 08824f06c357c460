"""Finding the store of an experiment or a run. Light zone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imgcls import seeds
from imgcls.config import Experiment
from imgcls.datasets import DataSettings
from imgcls.errors import DataError
from imgcls.io import terminal
from imgcls.io.records import FormatError
from imgcls.split import split_csv
from imgcls.store.manifest import DataDescription
from imgcls.store.split_file import Split
from imgcls.store.store import Store, get_store_folder, hash_json, open_store


def compute_split_key(data: DataSettings, seed: int) -> str:
    """Return the key of the split for these data settings and this seed: 16 hexadecimal digits.

    The first 8 are `compute_assignment_key`, the others a hash of all settings. Settings that are
    None are left out, so that new settings of later versions do not change keys. For
    `splits_file`, the content of the file is hashed.

    Raises:
        DataError: `splits_file` cannot be read.
    """
    settings = {name: value for name, value in data.identity().items() if value is not None}
    return compute_assignment_key(data, seed) + _hash_settings(data, settings, seed)


def compute_assignment_key(data: DataSettings, seed: int) -> str:
    """Return a hash of the settings that determine the split assignment: 8 hexadecimal digits.

    The keys of all splits with the same assignment begin with it.

    Raises:
        DataError: `splits_file` cannot be read.
    """
    return _hash_settings(data, data.get_assignment_settings(), seed)


def _hash_settings(data: DataSettings, settings: dict[str, Any], seed: int) -> str:
    path = data.splits_file
    content = {"splits_file": split_csv.hash_content(Path(path))} if path else {}
    return hash_json({"data": settings | content, "seed": seeds.derive_seed(seed, "split")})[:8]


def find_stores_with_split(parent: Path, key: str) -> list[Store]:
    """Return the stores in a folder with a split whose key begins with `key`, newest first.

    Stores of another format are skipped, with a note.

    Raises:
        DataError: a store is damaged.
    """
    stores, errors = _open_stores_with_split(parent, key)
    for error in errors:
        terminal.note(f"not used: {error}")
    return stores


def _open_stores_with_split(parent: Path, key: str) -> tuple[list[Store], list[FormatError]]:
    """Return the stores that `find_stores_with_split` finds, and the errors of those it skips."""
    folders = {path.parent.parent for path in parent.glob(f"[!.]*/splits/{key}*.npz")}
    stores, errors = [], []
    for folder in sorted(folders):
        try:
            stores.append(open_store(folder))
        except FormatError as error:
            errors.append(error)
    return sorted(stores, key=lambda store: store.manifest.prepared, reverse=True), errors


def find_store_of_source(parent: Path, source: str) -> Store | None:
    """Return the store of a source, by the source's key; None if it is missing or damaged.

    Every byte is verified, since `prepare` is what repairs a store.
    """
    for store in _iterate_stores(parent):
        if store.manifest.source == source:
            with terminal.note_unusable():
                store.verify(max_bytes=None)
                return store
    return None


def find_store(experiment: Experiment) -> tuple[Store, Split]:
    """Return the newest store for an experiment's data settings and seed, and its split.

    Raises:
        FormatError: there is only one of another format.
        DataError: there is none, or it was changed or damaged.
    """
    parent, key = (
        Path(experiment.data.store_dir),
        compute_split_key(experiment.data, experiment.split_seed),
    )
    stores, errors = _open_stores_with_split(parent, key)
    if errors and not stores:
        raise errors[0]
    if not stores:
        raise DataError(
            f"no data is prepared in {parent} for these settings of {experiment.data.name} and seed"
            f" {experiment.split_seed}; run `imgcls prepare` first"
        )
    stores[0].verify()
    return stores[0], stores[0].read_split(key)


def find_audited(experiment: Experiment) -> Store:
    """Return the newest store with an audit for an experiment's data settings and seed.

    The audit may have failed.

    Raises:
        DataError: there is none.
    """
    parent, key = (
        Path(experiment.data.store_dir),
        compute_split_key(experiment.data, experiment.split_seed),
    )
    stores = [store for store in _iterate_stores(parent) if key in store.manifest.audits]
    if not stores:
        raise DataError(
            f"no data in {parent} was audited for these settings and seed"
            f" {experiment.split_seed}; run `imgcls prepare` first"
        )
    return max(stores, key=lambda store: store.manifest.prepared)


def _iterate_stores(parent: Path) -> Iterator[Store]:
    """Yield the stores in a folder, except damaged ones, with a note."""
    for path in sorted(parent.glob("[!.]*/manifest.json")):
        with terminal.note_unusable():
            yield open_store(path.parent)


def open_run_store(data: DataDescription, parent: str) -> tuple[Store, Split]:
    """Return the store and split that a run was trained on, after verifying them.

    Args:
        data: content of the run's data.json.
        parent: folder of the stores.

    Raises:
        DataError: the store is not in `parent`, or was changed or damaged.
    """
    store = open_store_of(data.dataset, data.fingerprint, parent)
    split = store.read_split(data.split)
    if split.sha256 != data.split_sha256:
        raise DataError(
            f"{store.get_split_file(split.key)} differs from the split that the run was trained on:"
            " the assignment also depends on data that was prepared before, which differs between"
            " the machines; copy this file from the machine on which the run was trained"
        )
    return store, split


def open_store_of(dataset: str, fingerprint: str, parent: str) -> Store:
    """Return the store with a fingerprint, after verifying it.

    Args:
        dataset: the name of the dataset part.
        parent: folder of the stores.

    Raises:
        DataError: the store is not in `parent`, or was changed or damaged.
    """
    folder = get_store_folder(Path(parent), dataset, fingerprint)
    if not folder.is_dir():
        raise DataError(
            f"the run's data, {folder}, does not exist; run `imgcls prepare` on the run's"
            " config.yaml, or copy the folder there"
        )
    store = open_store(folder)
    if store.fingerprint != fingerprint:
        raise DataError(
            f"{folder} has the fingerprint {store.fingerprint}, but the run used"
            f" {fingerprint}; prepare the data again"
        )
    store.verify()
    return store
