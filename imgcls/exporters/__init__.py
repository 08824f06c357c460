"""Exporters: each file holds `Settings` (an `ExporterSettings`) and `convert(saved_model, target,
description)`, which writes a model in one format.

Args of `convert`:
    saved_model: the folder of the model as a SavedModel of float32, whose signature
        `serving_default` maps `images`, uint8 (batch, height, width, channels), to `probabilities`,
        float32 (batch, classes).
    target: the path to write, whose name is `Settings.file_name`.
    description: what programs need to know of the model, as JSON text; it goes into the format
        itself, where the format has a place for it.

It raises `ConversionError`, or whatever the converter raises. Besides, a file holds
`load(artifact, threads)`, which opens what `convert` wrote in the format's own runtime, with a
number of threads, and returns the function from images to probabilities, for batches of any size;
and `EXAMPLE`, the end of a program that predicts with it (see imgcls/exporters/_example.py).

Converters and runtimes are imported inside functions. Files whose names begin with an underscore
are shared code, not exporters. Light zone.
"""

import importlib.util
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from imgcls.errors import UserError
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy

Runtime = Callable[["numpy.ndarray"], "numpy.ndarray"]
"""From images, uint8 (batch, height, width, channels), to probabilities, float32 (batch, classes).
"""
IMAGES, PROBABILITIES = "images", "probabilities"
"""The names of the input and of the output in every format."""


class ExporterSettings(PartSettings):
    """The settings of every exporter."""

    file_name: ClassVar[str]
    """The name of what is written, a file or a folder."""
    extra: ClassVar[str | None] = None
    """The extra of imgcls that installs the packages."""
    packages: ClassVar[dict[str, str]]
    """The packages that convert and run it: the name of each module, by that of its package."""

    def require_packages(self) -> None:
        """Check that the packages are installed.

        Raises:
            UserError: one is not.
        """
        missing = [
            package
            for package, module in self.packages.items()
            if importlib.util.find_spec(module) is None
        ]
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            raise UserError(
                f"format {self.name} needs {' and '.join(missing)}, which {verb} not installed;"
                f" run: pip install 'imgcls[{self.extra}]'"
            )


class ConversionError(Exception):
    """A format cannot express a model.

    Attributes:
        operations: of TensorFlow, those that the format lacks, such as `Erfinv`.
    """

    def __init__(self, message: str, operations: Sequence[str] = ()):
        super().__init__(message)
        self.operations = list(operations)
