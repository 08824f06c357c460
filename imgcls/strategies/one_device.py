"""One device: the first GPU, or the CPU if there is no GPU. Light zone."""

from typing import TYPE_CHECKING

from imgcls.distributed.cluster import Cluster
from imgcls.strategies import StrategySettings

if TYPE_CHECKING:
    import tensorflow as tf


class Settings(StrategySettings):
    """The strategy has no settings."""


def build(settings: Settings, cluster: Cluster) -> "tf.distribute.Strategy":
    """Return a OneDeviceStrategy on the first GPU, or on the CPU."""
    from imgcls.backend import tf

    return tf.distribute.OneDeviceStrategy(
        "GPU:0" if tf.config.list_physical_devices("GPU") else "CPU:0"
    )
