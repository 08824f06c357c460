"""What `train.precision` means to TensorFlow and to the libraries below it. Light zone.

On a GPU, TensorFlow lets float32 products be computed in TensorFloat-32, which keeps 10 of 23 bits,
unless that is turned off. Environment variables can allow the same without TensorFlow.
"""

import os
from collections.abc import Mapping, Set

from imgcls.errors import UserError
from imgcls.io import terminal
from imgcls.train_config import Precision

TF32_OVERRIDE = "NVIDIA_TF32_OVERRIDE"
"""Overrides in NVIDIA's libraries what TensorFlow asks them for: 0 forbids TensorFloat-32. Other
values are reserved (NVIDIA, "Accelerating AI Training with NVIDIA TF32 Tensor Cores"); 1 allows it
in cuBLAS.
"""
ONEDNN_MODES = (
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE",
    "TF_SET_ONEDNN_FPMATH_MODE",
)
"""Let oneDNN compute float32 in fewer bits, on CPUs with matrix units for them (oneDNN, "Primitive
Attributes: floating-point math mode").
"""
BFLOAT16_FEATURES = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Linux's names of the instructions for bfloat16, of x86 and of ARM."""


def note_unsuitable_for_cpu(precision: Precision, features: Set[str]) -> None:
    """Print a note on a precision that is not what it is for on this machine, which has no GPU.

    Args:
        features: those of the processor, as Linux names them; empty if they are not known.
    """
    if precision == "tensorfloat32":
        terminal.note("train.precision tensorfloat32 is the same as float32 without a GPU")
    elif precision == "mixed_bfloat16" and features and not features & BFLOAT16_FEATURES:
        terminal.note(
            "this processor has no instructions for bfloat16 (AVX512-BF16 or AMX), so that"
            " train.precision: mixed_bfloat16 may take many times as long as float32"
        )


def set_float32_mode(precision: Precision) -> None:
    """Allow TensorFloat-32 if the precision is that, and forbid it otherwise.

    Raises:
        UserError: as `require_consistent`.
    """
    from imgcls.backend import tf

    require_consistent(precision, os.environ)
    tf.config.experimental.enable_tensor_float_32_execution(precision == "tensorfloat32")


def get_dtype_policy(precision: Precision) -> str:
    """Return the name of Keras's dtype policy."""
    return "float32" if precision == "tensorfloat32" else precision


def require_consistent(precision: Precision, variables: Mapping[str, str]) -> None:
    """Check that no environment variable contradicts the precision.

    Raises:
        UserError: one does.
    """
    override = variables.get(TF32_OVERRIDE, "")
    if override and (override == "0") == (precision == "tensorfloat32"):
        effect, other = (
            ("forbids", "float32")
            if precision == "tensorfloat32"
            else ("may allow", "tensorfloat32")
        )
        raise UserError(
            f"{TF32_OVERRIDE} is {override}, which {effect} TensorFloat-32 in NVIDIA's libraries,"
            f" but train.precision is {precision}; unset it, or set train.precision: {other}"
        )
    for name in ONEDNN_MODES:
        mode = variables.get(name, "")
        if mode and mode.upper() != "STRICT":
            raise UserError(
                f"{name} is {mode}, which lets oneDNN compute float32 in fewer bits; unset it: the"
                " precision is train.precision alone"
            )
