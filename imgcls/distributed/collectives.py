"""Collective operations, with which several processes make the same decisions. Heavy zone.

All processes must call them in the same order.
"""

from pathlib import Path

from imgcls.backend import tf
from imgcls.distributed.cluster import Cluster
from imgcls.errors import WorkerLostError


class Collectives:
    """The collective operations of a strategy; they cost nothing with a single process."""

    def __init__(self, strategy: tf.distribute.Strategy, cluster: Cluster):
        self._strategy = strategy
        self.is_single = cluster.is_single
        self.is_chief = cluster.is_chief
        self._compiled = tf.function(self._gather)

    def all_reduce_max(self, *values: float) -> list[float]:
        """Return, for each value, its maximum over all processes."""
        if self.is_single:
            return list(values)
        return self._compiled(tf.constant(values, tf.float64)).numpy().max(axis=0).tolist()

    def barrier(self) -> None:
        """Wait until all processes have called this method as often."""
        self.all_reduce_max(0.0)

    def _gather(self, values: tf.Tensor) -> tf.Tensor:
        return self._strategy.gather(self._strategy.run(lambda: values[None]), axis=0)


def explain_lost_worker(error: tf.errors.OpError, folder: Path, workers: int) -> Exception:
    """Convert an error to `WorkerLostError` if it says that another process is gone.

    Returns:
        A `WorkerLostError` if TensorFlow aborted the collectives; otherwise `error` itself.
    """
    _, aborted, reason = str(error).partition("Collective ops is aborted by: ")
    if not aborted:
        return error
    return WorkerLostError(
        f"another worker ended or does not respond ({reason.splitlines()[0].rstrip(':')}); start"
        f" all {workers} workers again with the same commands to continue {folder} from its last"
        " checkpoint"
    )
