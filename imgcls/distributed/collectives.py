"""What several processes must decide together: they meet in collective operations, in the same
order everywhere. Heavy zone.
"""

from pathlib import Path

from imgcls.backend import tf
from imgcls.distributed.cluster import Cluster
from imgcls.errors import WorkerLostError


class Collectives:
    """Lets the processes of a strategy compare numbers; a process that is alone agrees with itself,
    at no cost.
    """

    def __init__(self, strategy: tf.distribute.Strategy, cluster: Cluster):
        self._strategy = strategy
        self.is_single = cluster.is_single
        self._compiled = tf.function(self._gather)

    def all_reduce_max(self, *values: float) -> list[float]:
        """Return for each value the largest that any process gave."""
        if self.is_single:
            return list(values)
        return self._compiled(tf.constant(values, tf.float64)).numpy().max(axis=0).tolist()

    def barrier(self) -> None:
        """Wait until every process is here."""
        self.all_reduce_max(0.0)

    def _gather(self, values: tf.Tensor) -> tf.Tensor:
        return self._strategy.gather(self._strategy.run(lambda: values[None]), axis=0)


def explain_lost_worker(error: tf.errors.OpError, folder: Path, workers: int) -> Exception:
    """Return what a process ends with whose collectives were aborted because another one is gone;
    any other error as it is.
    """
    _, aborted, reason = str(error).partition("Collective ops is aborted by: ")
    if not aborted:
        return error
    return WorkerLostError(
        f"another worker ended or does not answer ({reason.splitlines()[0].rstrip(':')}); start all"
        f" {workers} again with the same commands to continue {folder} from its last saved state"
    )
