"""Several processes, on one host or many, each with its devices; gradients are summed over all
(tf.distribute.MultiWorkerMirroredStrategy).

A process uses every GPU that it sees (CUDA_VISIBLE_DEVICES), or else its CPU.

Light zone.
"""

from typing import TYPE_CHECKING, ClassVar

from imgcls.distributed.cluster import Cluster
from imgcls.io import signals
from imgcls.strategies import StrategySettings

if TYPE_CHECKING:
    import tensorflow as tf

JOB = "worker"
HEARTBEAT = 10
"""Seconds of silence after which a process counts as lost."""
CONNECTING = 60
"""Seconds after which a process that cannot connect is killed (SIGALRM): one that met the others
has died since.
"""


class Settings(StrategySettings):
    """There is nothing to set: who takes part is said by --workers and --rank, TF_CONFIG or
    Slurm.
    """

    several_devices: ClassVar[bool] = True
    spans_processes: ClassVar[bool] = True


def build(settings: Settings, cluster: Cluster) -> "tf.distribute.Strategy":
    """Return the strategy, once all processes are connected; they must have met before
    (imgcls/distributed/rendezvous.py).
    """
    from imgcls.backend import tf

    _watch_heartbeats(len(cluster.addresses))
    spec = tf.train.ClusterSpec({JOB: list(cluster.addresses)})
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        spec, task_type=JOB, task_id=cluster.rank, rpc_layer="grpc"
    )
    with signals.restore_default_signals(CONNECTING):
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)


def _watch_heartbeats(workers: int) -> None:
    """Set after what silence a process counts as lost; TensorFlow has no public way."""
    from tensorflow.compiler.xla.tsl.protobuf.coordination_config_pb2 import CoordinatedJob
    from tensorflow.python.eager import context

    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader=f"/job:{JOB}/replica:0/task:0",
        heartbeat_timeout_in_ms=1000 * HEARTBEAT,
        coordinated_jobs=[CoordinatedJob(name=JOB, num_tasks=workers)],
    )
