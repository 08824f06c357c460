"""TensorFlow and Keras, imported once, quietly, with their switches set first. Heavy zone: import
`keras` and `tf` from here only.

This is the one module that acts on import, since what it sets is read while TensorFlow is imported.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator

SWITCHES = {
    "KERAS_BACKEND": "tensorflow",
    # oneDNN's kernels step a small CNN about 1.4 times faster, but are off on some CPUs; results
    # differ in the last bits, so the choice must not depend on the machine, unless its user says
    # so. It is recorded in environment.json.
    "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1"),
    # Errors arrive as exceptions; beside them TensorFlow would print lines that mean nothing to a
    # user.
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Send file descriptor 2 to a temporary file: C++ start-up lines ignore TF_CPP_MIN_LOG_LEVEL.
    Show them if the block fails.
    """
    with tempfile.TemporaryFile() as chatter:
        terminal = os.dup(2)
        os.dup2(chatter.fileno(), 2)
        try:
            yield
        except Exception:
            chatter.seek(0)
            os.write(terminal, chatter.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


with _quiet():
    os.environ.update(SWITCHES)
    import keras
    import tensorflow as tf

    tf.config.list_physical_devices()

__all__ = ["keras", "tf"]
