"""What several processes must decide together: they meet in collective operations, in the same order everywhere. Heavy zone."""

from pathlib import Path

from imgcls.backend import tf
from imgcls.distributed.cluster import Cluster
from imgcls.errors import WorkerLostError


class Agreement:
    """Lets the processes of a strategy compare numbers; a process that is alone agrees with itself, at no cost."""

    def __init__(self, strategy: tf.distribute.Strategy, cluster: Cluster):
        self._strategy = strategy
        self.alone = cluster.alone
        self._compiled = tf.function(self._gathered)

    def largest(self, *values: float) -> list[float]:
        """Return for each value the largest that any process gave."""
        if self.alone:
            return list(values)
        return self._compiled(tf.constant(values, tf.float64)).numpy().max(axis=0).tolist()

    def wait(self) -> None:
        """Wait until every process is here."""
        self.largest(0.0)

    def _gathered(self, values: tf.Tensor) -> tf.Tensor:
        return self._strategy.gather(self._strategy.run(lambda: values[None]), axis=0)


def lost_worker(error: tf.errors.OpError, folder: Path, workers: int) -> Exception:
    """Return what a process ends with whose collectives were aborted because another one is gone; any other error as it is."""
    _, aborted, reason = str(error).partition("Collective ops is aborted by: ")
    if not aborted:
        return error
    return WorkerLostError(
        f"another worker ended or does not answer ({reason.splitlines()[0].rstrip(':')}); start all {workers} again with the same commands "
        f"to continue {folder} from its last saved state"
    )
