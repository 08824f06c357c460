"""Several devices of one machine, each with a copy of the model (tf.distribute.MirroredStrategy).

Gradients are summed over the devices in every step. Light zone.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from imgcls.device import choice, usable
from imgcls.distributed.cluster import Cluster
from imgcls.errors import UserError
from imgcls.strategies import StrategySettings

if TYPE_CHECKING:
    import tensorflow as tf


class Settings(StrategySettings):
    """The mirrored strategy's settings."""

    spans_devices: ClassVar[bool] = True
    replicas: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Number of devices; all GPUs unless given. Without a GPU, the CPU is divided into as many
    logical devices.
    """


def build(settings: Settings, cluster: Cluster) -> "tf.distribute.Strategy":
    """Return a MirroredStrategy over the GPUs, or over logical CPU devices if there is no GPU.

    Raises:
        UserError: there are fewer GPUs than `replicas`, or there is none and `replicas` is not
            given.
    """
    gpus = usable.list_usable_gpus()
    if gpus:
        replicas = settings.replicas or len(gpus)
        if replicas > len(gpus):
            raise UserError(
                f"train.strategy.replicas is {replicas}, but this machine has {len(gpus)} GPU(s);"
                " set at most that many"
            )
        choice.use_gpus(gpus[:replicas])
        return _make_strategy(tuple(f"GPU:{i}" for i in range(replicas)))
    if settings.replicas is None:
        raise UserError(
            "train.strategy mirrored found no GPU; set train.strategy.replicas to divide the CPU,"
            " or train.strategy: {name: one_device}"
        )
    _divide_cpu(settings.replicas)
    return _make_strategy(tuple(f"CPU:{i}" for i in range(settings.replicas)))


@lru_cache
def _make_strategy(devices: tuple[str, ...]) -> "tf.distribute.Strategy":
    """Return the strategy of these devices; the same object in every call.

    A second strategy would number its collectives from 0 again, which clash with those of the
    first.
    """
    from imgcls.backend import tf

    return tf.distribute.MirroredStrategy(devices)


def _divide_cpu(replicas: int) -> None:
    """Divide the CPU into at least `replicas` logical devices.

    TensorFlow allows it only once per process, before its first operation.
    """
    from imgcls.backend import tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    current = tf.config.get_logical_device_configuration(cpu)
    if current is None or len(current) < replicas:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * replicas
        )
