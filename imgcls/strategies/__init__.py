"""Device strategies: each file holds `Settings` (a `StrategySettings`) and `build(settings,
cluster) -> tf.distribute.Strategy`.

`build` is called once a process, before anything is placed on a device. `cluster` names the
processes that train together; it is `cluster.ALONE` unless `Settings.spans_processes`. Light zone:
tensorflow is imported inside `build`.
"""

from typing import ClassVar

from imgcls.parts import PartSettings


class StrategySettings(PartSettings):
    """What every strategy's settings have."""

    several_devices: ClassVar[bool] = False
    """Whether a batch may be divided among devices, which then meet in every batch norm."""
    spans_processes: ClassVar[bool] = False
    """Whether several processes train together, each started by itself."""
