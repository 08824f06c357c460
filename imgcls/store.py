"""The store: a data set as prepared on disk, opened for reading. Light zone.

A store is a folder `<dataset>-<first 12 digits of the fingerprint>`:

    images.u8          raw uint8 (count, height, width, channels), memory-mapped
    labels.npy         int32 (count,)
    ids.npy            bytes (count,), UTF-8, memory-mapped
    source_splits.npy  uint8 (count,): the place in `SPLITS` of the split that the source gave each image
    manifest.json      what the files hold, with their SHA-256; written last
    splits/<key>.npz   a cut into train, validation and test, one for each (data settings, seed)

The fingerprint is the SHA-256 of the content alone (format, classes, shape, images, labels, ids, source splits): neither time nor path
enters, so it is the same on every machine. `imgcls/store_writer.py` writes stores.
"""

import hashlib
import json
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgcls import files, seeds
from imgcls.datasets import SPLITS, DataSettings, SplitName
from imgcls.errors import DataError, UserError

if TYPE_CHECKING:
    import numpy

    from imgcls.config import Experiment

FORMAT = 1
CONTENT = ("images.u8", "labels.npy", "ids.npy", "source_splits.npy")
_KEYS = {"format", "dataset", "fingerprint", "classes", "shape", "count", "class_counts", "sizes", "sha256", "bad_images", "prepared"}


@dataclass(frozen=True, eq=False)
class Split:
    """A cut of a store into splits, with the statistics that the model's preprocessing needs.

    Attributes:
        key: hash of the data settings and the split's sub-seed.
        train, validation, test: sorted int64 indices into the store's images; validation may be empty.
        mean, deviation: float32 (channels,) of the training pixels, in 0..255; population deviation, 0 for a constant channel.
    """

    key: str
    train: "numpy.ndarray"
    validation: "numpy.ndarray"
    test: "numpy.ndarray"
    mean: "numpy.ndarray"
    deviation: "numpy.ndarray"

    def indices(self, name: SplitName) -> "numpy.ndarray":
        """Return the indices of a split by its name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]


@dataclass(frozen=True, eq=False)
class Store:
    """A prepared data set. Images and ids stay on disk and are read as they are used."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def dataset(self) -> str:
        """The name of the dataset part."""
        return self.manifest["dataset"]

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits that stand for the content."""
        return self.manifest["fingerprint"]

    @property
    def classes(self) -> list[str]:
        """Class names in label order."""
        return self.manifest["classes"]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        return tuple(self.manifest["shape"])

    @cached_property
    def images(self) -> "numpy.memmap":
        """All images, uint8 (count, height, width, channels), memory-mapped and read-only."""
        import numpy

        return numpy.memmap(self.folder / "images.u8", numpy.uint8, mode="r", shape=(self.manifest["count"], *self.shape))

    @cached_property
    def labels(self) -> "numpy.ndarray":
        """Class numbers, int32 (count,)."""
        import numpy

        return numpy.load(self.folder / "labels.npy")

    @cached_property
    def source_splits(self) -> "numpy.ndarray":
        """The split that the source gave each image, as its place in `SPLITS`, uint8 (count,)."""
        import numpy

        return numpy.load(self.folder / "source_splits.npy")

    def ids(self, indices: "numpy.ndarray") -> list[str]:
        """Return the ids of some images; a file name that is not UTF-8 keeps its bytes as lone surrogates, as `os.fsdecode` does."""
        import numpy

        names = numpy.load(self.folder / "ids.npy", mmap_mode="r")[indices]
        return [name.decode("utf-8", "surrogateescape") for name in names.tolist()]

    def split_file(self, key: str) -> Path:
        """Return the path of a split."""
        return self.folder / "splits" / f"{key}.npz"

    def split(self, key: str) -> Split:
        """Read a split.

        Raises:
            DataError: it is missing or damaged.
        """
        import numpy

        path = self.split_file(key)
        try:
            with path.open("rb") as stream, numpy.load(stream, allow_pickle=False) as arrays:
                return Split(key, **{name: arrays[name] for name in (*SPLITS, "mean", "deviation")})
        except FileNotFoundError:
            raise DataError(f"{path} is missing; run `imgcls prepare` again") from None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            raise DataError(f"{path} is damaged; run `imgcls prepare` again") from None

    def save_split(self, split: Split) -> None:
        """Write a split atomically."""
        import numpy

        arrays = {name: getattr(split, name) for name in (*SPLITS, "mean", "deviation")}
        with files.replacing(self.split_file(split.key)) as stream:
            numpy.savez(stream, **arrays)

    def verify(self) -> None:
        """Compare every file with the manifest: sizes first, then SHA-256, then the fingerprint over all.

        Raises:
            DataError: a file is missing, or its content is not what was prepared.
        """
        advice = f"the store {self.folder} was changed or damaged; run `imgcls prepare` again"
        for name, size in self.manifest["sizes"].items():
            path = self.folder / name
            found = path.stat().st_size if path.is_file() else 0
            if found != size:
                raise DataError(f"{path} has {found:,} bytes instead of {size:,}: {advice}")
        for name, digest in self.manifest["sha256"].items():
            if files.sha256(self.folder / name) != digest:
                raise DataError(f"{self.folder / name} holds other bytes than were prepared: {advice}")
        if content_fingerprint(self.manifest) != self.fingerprint:
            raise DataError(f"{self.folder / 'manifest.json'} does not fit its fingerprint: {advice}")

    def describe(self, split: Split) -> dict[str, Any]:
        """Return what a run keeps of its data, as JSON values."""
        import numpy

        counts = {name: numpy.bincount(self.labels[split.indices(name)], minlength=len(self.classes)).tolist() for name in SPLITS}
        return {
            "dataset": self.dataset,
            "fingerprint": self.fingerprint,
            "split": split.key,
            "classes": self.classes,
            "shape": list(self.shape),
            "sizes": {name: sum(counts[name]) for name in SPLITS},
            "class_counts": counts,
            "mean": split.mean.tolist(),
            "deviation": split.deviation.tolist(),
        }


def content_fingerprint(manifest: dict[str, Any]) -> str:
    """Return the fingerprint of the content that a manifest describes."""
    content = {key: manifest[key] for key in ("format", "classes", "shape", "sha256")}
    return _hash(content)


def split_key(data: DataSettings, seed: int) -> str:
    """Return the name of the split that these data settings and this seed give: 16 hexadecimal digits."""
    return _hash({"data": data.model_dump(exclude={"store"}), "seed": seeds.sub_seed(seed, "split")})[:16]


def _hash(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def store_folder(parent: Path, dataset: str, fingerprint: str) -> Path:
    """Return the folder of a store."""
    return parent / f"{dataset}-{fingerprint[:12]}"


def open_store(folder: Path) -> Store:
    """Open a store by its folder, without a look at the images.

    Raises:
        DataError: the manifest is missing, damaged, or of another format.
    """
    path = folder / "manifest.json"
    advice = f"delete the folder {folder} and run `imgcls prepare` again"
    if not path.is_file():
        raise DataError(f"{folder} is not a store: it has no manifest.json; {advice}")
    try:
        manifest = files.read_json(path)
    except (UserError, UnicodeDecodeError):
        raise DataError(f"{path} is damaged; {advice}") from None
    if not isinstance(manifest, dict) or set(manifest) != _KEYS or manifest["format"] != FORMAT:
        raise DataError(f"{path} is not a manifest of format {FORMAT}; {advice}")
    return Store(folder, manifest)


def find_store(experiment: "Experiment") -> tuple[Store, Split]:
    """Return the newest store that was prepared for an experiment's data settings and seed, verified, with its split.

    Raises:
        DataError: nothing is prepared, or it was changed or damaged since.
    """
    parent, key = Path(experiment.data.store), split_key(experiment.data, experiment.seed)
    stores = [open_store(path.parent.parent) for path in sorted(parent.glob(f"[!.]*/splits/{key}.npz"))]
    if not stores:
        wanted = f"these data settings ({experiment.data.name}) and seed {experiment.seed}"
        raise DataError(f"no data is prepared under {parent} for {wanted}; run `imgcls prepare` first")
    store = max(stores, key=lambda store: store.manifest["prepared"])
    store.verify()
    return store, store.split(key)


def open_run_store(data: dict[str, Any], parent: str) -> tuple[Store, Split]:
    """Return the very store and split that a run used, verified; `data` is the content of the run's data.json.

    Raises:
        DataError: it is not under `parent`, or was changed or damaged since.
    """
    folder = store_folder(Path(parent), data["dataset"], data["fingerprint"])
    if not folder.is_dir():
        raise DataError(
            f"the run's data, {folder}, does not exist; run `imgcls prepare` on the run's config.yaml, or copy the folder there"
        )
    store = open_store(folder)
    if store.fingerprint != data["fingerprint"]:
        raise DataError(f"{folder} has the fingerprint {store.fingerprint}, but the run used {data['fingerprint']}; prepare the data again")
    store.verify()
    return store, store.split(data["split"])
