"""Quantizes to a LiteRT file: weights of 8 or 16 bits, and with `int8` also the computation.

By LiteRT's own converter (Jacob et al., 2018,
https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/post_training_quantization), or
by AI Edge Quantizer. Images stay uint8 and probabilities float32. Light zone.
"""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from imgcls import parts
from imgcls.compressors import CompressorSettings
from imgcls.errors import UserError

if TYPE_CHECKING:
    from imgcls.compression.context import Context


class Settings(CompressorSettings):
    """The settings of quantization."""

    changes_predictions: ClassVar[bool] = False
    is_last: ClassVar[bool] = True

    type: Literal["float16", "dynamic", "int8"] = "int8"
    """`float16` stores weights in 16 bits, and computes in float32. `dynamic` stores them in 8, and
    quantizes what enters a layer as it is computed. `int8` computes in 8 bits, in ranges that
    are measured on training images beforehand."""
    calibration_images: Annotated[int, Field(ge=256)] = 256
    """Number of training images on which `int8` measures the ranges."""

    quantizer: Literal["converter", "ai_edge_quantizer"] = "converter"
    """What quantizes: the converter of LiteRT; or AI Edge Quantizer, for `int8` and `dynamic`. It
    leaves the softmax in float32."""

    @model_validator(mode="after")
    def _check_type(self) -> "Settings":
        if self.type == "float16" and self.quantizer != "converter":
            raise ValueError(
                f"type is float16, which quantizer {self.quantizer} is not used for; set quantizer:"
                " converter, or type to int8 or dynamic"
            )
        return self

    def require_packages(self) -> None:
        """Check that LiteRT is installed, and the quantizer.

        Raises:
            UserError: one is not.
        """
        parts.make_default_settings("exporters", "litert").require_packages()
        is_missing = importlib.util.find_spec("ai_edge_quantizer") is None
        if self.quantizer == "ai_edge_quantizer" and is_missing:
            raise UserError(
                "quantizer ai_edge_quantizer needs ai-edge-quantizer, which is not installed; run:"
                " pip install 'imgcls[quantizer]'"
            )


def convert(settings: Settings, context: "Context", target: Path) -> dict[str, Any]:
    """Write the quantized model; return the type, and what it was calibrated on."""
    from imgcls.compression import litert_file

    images = None
    details: dict[str, Any] = {"type": settings.type, "quantizer": settings.quantizer}
    if settings.type == "int8":
        images = litert_file.choose_calibration_images(context, settings.calibration_images)
        details |= {"calibration_images": len(images), "calibration_split": "train"}
    litert_file.write_model(context, settings, images, target)
    return details
