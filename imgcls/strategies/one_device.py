"""One device: the first GPU, or the CPU where there is none. Light zone."""

from typing import TYPE_CHECKING

from imgcls.distributed.cluster import Cluster
from imgcls.strategies import StrategySettings

if TYPE_CHECKING:
    import tensorflow as tf


class Settings(StrategySettings):
    """There is nothing to set."""


def build(settings: Settings, cluster: Cluster) -> "tf.distribute.Strategy":
    """Return the strategy."""
    from imgcls.backend import tf

    return tf.distribute.OneDeviceStrategy(
        "GPU:0" if tf.config.list_physical_devices("GPU") else "CPU:0"
    )
