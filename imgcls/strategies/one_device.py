"""One device: the first GPU, or the CPU if there is no GPU. Light zone."""

from typing import TYPE_CHECKING, Annotated, ClassVar

from imgcls.device import choice
from imgcls.device.choice import Device
from imgcls.distributed.cluster import Cluster
from imgcls.parts import must_be
from imgcls.strategies import StrategySettings

if TYPE_CHECKING:
    import tensorflow as tf


class Settings(StrategySettings):
    """The settings of one device."""

    neutral: ClassVar[frozenset[str]] = frozenset({"device"})
    device: Annotated[Device, must_be("the index of a GPU, idle, or cpu")] = None
    """The index of a GPU as nvidia-smi shows it; `idle` for the one with the least memory in use
    that no other run uses; or `cpu`. The first GPU unless given, or the CPU without one."""

    def get_device(self) -> Device:
        """Return the one device that is asked for."""
        return self.device


def build(settings: Settings, cluster: Cluster) -> "tf.distribute.Strategy":
    """Return a OneDeviceStrategy on the chosen device, the only one that TensorFlow sees.

    Raises:
        UserError: there is no such GPU, or none is idle.
    """
    from imgcls.backend import tf

    return tf.distribute.OneDeviceStrategy(choice.use_device(settings.device))
