"""Finding the store that an experiment or a run needs. Light zone."""

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
    """Return the name of the split that these data settings and this seed give: 16 hexadecimal
    digits.

    The first 8 are `compute_assignment_key`; the others stand for all settings. One that is off
    does not count, so that a later version's new settings change no name. Of a file of splits, the
    content counts.

    Raises:
        DataError: the file of splits cannot be read.
    """
    settings = {name: value for name, value in data.identity().items() if value is not None}
    return compute_assignment_key(data, seed) + _hash_settings(data, settings, seed)


def compute_assignment_key(data: DataSettings, seed: int) -> str:
    """Return what the names of all splits begin with that put an image in the same split: 8
    hexadecimal digits.

    Raises:
        DataError: the file of splits cannot be read.
    """
    return _hash_settings(data, data.get_assignment_settings(), seed)


def _hash_settings(data: DataSettings, settings: dict[str, Any], seed: int) -> str:
    path = data.splits_file
    fixed = {"splits_file": split_csv.hash_content(Path(path))} if path else {}
    return hash_json({"data": settings | fixed, "seed": seeds.derive_seed(seed, "split")})[:8]


def find_stores_with_split(parent: Path, key: str) -> list[Store]:
    """Return the stores in a folder that have a split whose name begins with `key`, the one
    prepared last first. Stores of another format are left out, with a note.

    Raises:
        DataError: one of them is damaged.
    """
    folders = {path.parent.parent for path in parent.glob(f"[!.]*/splits/{key}*.npz")}
    stores = []
    for folder in sorted(folders):
        with terminal.note_unusable(FormatError):
            stores.append(open_store(folder))
    return sorted(stores, key=lambda store: store.manifest.prepared, reverse=True)


def find_store_of_source(parent: Path, source: str) -> Store | None:
    """Return the store that was made of a source, by the source's key, or None where there is none,
    or a damaged one.
    """
    for store in _iterate_stores(parent):
        if store.manifest.source == source:
            with terminal.note_unusable():
                store.verify()
                return store
    return None


def find_store(experiment: Experiment) -> tuple[Store, Split]:
    """Return the newest store that was prepared for an experiment's data settings and seed,
    verified, with its split.

    Raises:
        DataError: nothing is prepared, or it was changed or damaged since.
    """
    parent, key = (
        Path(experiment.data.store_dir),
        compute_split_key(experiment.data, experiment.seed),
    )
    stores = find_stores_with_split(parent, key)
    if not stores:
        wanted = f"these data settings ({experiment.data.name}) and seed {experiment.seed}"
        raise DataError(
            f"no data is prepared under {parent} for {wanted}; run `imgcls prepare` first"
        )
    stores[0].verify()
    return stores[0], stores[0].split(key)


def find_audited(experiment: Experiment) -> Store:
    """Return the newest store that was audited for an experiment's data settings and seed, also
    where the audit failed.

    Raises:
        DataError: there is none.
    """
    parent, key = (
        Path(experiment.data.store_dir),
        compute_split_key(experiment.data, experiment.seed),
    )
    stores = [store for store in _iterate_stores(parent) if key in store.manifest.audits]
    if not stores:
        raise DataError(
            f"no data under {parent} was audited for these settings and seed {experiment.seed}; run"
            " `imgcls prepare` first"
        )
    return max(stores, key=lambda store: store.manifest.prepared)


def _iterate_stores(parent: Path) -> Iterator[Store]:
    """Yield the stores of a folder that can be opened."""
    for path in sorted(parent.glob("[!.]*/manifest.json")):
        with terminal.note_unusable():
            yield open_store(path.parent)


def open_run_store(data: DataDescription, parent: str) -> tuple[Store, Split]:
    """Return the very store and split that a run used, verified; `data` is what the run
    says of them.

    Raises:
        DataError: it is not under `parent`, or was changed or damaged since.
    """
    folder = get_store_folder(Path(parent), data.dataset, data.fingerprint)
    if not folder.is_dir():
        raise DataError(
            f"the run's data, {folder}, does not exist; run `imgcls prepare` on the run's"
            " config.yaml, or copy the folder there"
        )
    store = open_store(folder)
    if store.fingerprint != data.fingerprint:
        raise DataError(
            f"{folder} has the fingerprint {store.fingerprint}, but the run used"
            f" {data.fingerprint}; prepare the data again"
        )
    store.verify()
    split = store.split(data.split)
    if split.sha256 != data.split_sha256:
        raise DataError(
            f"{store.split_file(split.key)} puts other images in the splits than the run used: the"
            " same data was split here without what was prepared before it there; copy this file"
            " from where the run was trained"
        )
    return store, split
