"""Distribution strategies: each file holds `Settings` and `build(settings, cluster)`. Light zone.

`Settings` derives from `StrategySettings`. `build` returns a `tf.distribute.Strategy`; it is called
once per process, before TensorFlow uses a device. `cluster` describes the processes that train
together; it is `cluster.SINGLE_PROCESS` unless `Settings.spans_processes`. TensorFlow is imported
inside `build`.
"""

from typing import ClassVar

from imgcls.device.choice import Device
from imgcls.parts import PartSettings


class StrategySettings(PartSettings):
    """The settings that all strategies share."""

    spans_devices: ClassVar[bool] = False
    """Whether a batch may be divided among devices, over which batch norm is then synchronized."""
    spans_processes: ClassVar[bool] = False
    """Whether several processes train together, each started by its own command."""

    def get_device(self) -> Device:
        """Return the one device that is asked for; None if none is."""
        return None
