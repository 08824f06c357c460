"""TensorFlow and Keras, imported with their environment variables set. Heavy zone.

All other modules import `keras` and `tf` from here. This is the only module with side effects on
import, since TensorFlow reads the variables while it is imported.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator

from imgcls.device import libraries
from imgcls.io import terminal
from imgcls.io.stderr import redirect_stderr

SWITCHES = {
    "KERAS_BACKEND": "tensorflow",
    # oneDNN's kernels make a small CNN about 1.4 times faster, but TensorFlow disables them on some
    # CPUs. Results differ in the last bits, so the default must not depend on the machine. The
    # value is recorded in environment.json.
    "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1"),
    # GPUs have the indices that nvidia-smi shows. By default, the fastest is the first.
    "CUDA_DEVICE_ORDER": os.environ.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
    # TensorFlow's errors are raised as exceptions; its log lines do not help users.
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


@contextlib.contextmanager
def _silence_stderr() -> Iterator[None]:
    """Redirect stderr to a temporary file while the block runs; print the file if the block fails.

    C++ start-up code ignores TF_CPP_MIN_LOG_LEVEL.
    """
    with tempfile.TemporaryFile() as captured:
        try:
            with redirect_stderr(captured):
                yield
        except Exception:
            captured.seek(0)
            os.write(2, captured.read())
            raise


if terminal.is_terminal():
    terminal.note("loading TensorFlow")
with _silence_stderr():
    os.environ.update(SWITCHES)
    libraries.load_cusolver()
    import keras
    import tensorflow as tf

    tf.config.list_physical_devices()

__all__ = ["keras", "tf"]
