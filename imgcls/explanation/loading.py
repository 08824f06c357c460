"""The network of a run, to be explained. Heavy zone."""

from imgcls.backend import keras, tf
from imgcls.compression.networks import TEMPERATURE
from imgcls.evaluation.litert_model import LiteRTModel
from imgcls.explanation.network import Network
from imgcls.prediction.loaded_model import LoadedModel


def make_network(loaded: LoadedModel, batch_size: int) -> Network:
    """Return the network of a run's model, from pixels to logits.

    Args:
        batch_size: images that are computed at a time.
    """
    if isinstance(loaded.model, LiteRTModel):
        raise TypeError("a model of LiteRT has no layers")
    tf.config.experimental.enable_op_determinism()
    temperature = loaded.model.get_layer(TEMPERATURE)
    logits = keras.Model(loaded.model.inputs[0], temperature.input)
    return Network(logits, 1 / temperature.scale, batch_size)
