"""Reading the weights in model.keras without Keras. Light zone."""

import io
import zipfile
from pathlib import Path
from typing import Any

from imgcls.io.data_file import DataFile
from imgcls.training.model_description import ADVICE


def read_weights(model_file: Path) -> dict[str, Any]:
    """Return the arrays in a Keras archive, by name.

    Raises:
        DataError: it is missing or damaged.
    """
    import h5py

    file = DataFile(model_file, ADVICE)
    content = io.BytesIO(file.read_bytes())
    arrays: dict[str, Any] = {}
    with (
        file.explain_damage(),
        zipfile.ZipFile(content) as archive,
        h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as weights,
    ):
        weights.visititems(
            lambda name, item: (
                arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    return arrays


def count_parameters(model_file: Path) -> int:
    """Return the number of weights in a Keras archive, as `keras.Model.count_params` does.

    Raises:
        DataError: it is missing or damaged.
    """
    return sum(array.size for array in read_weights(model_file).values())
