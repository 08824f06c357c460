"""Several processes, on one host or many (tf.distribute.MultiWorkerMirroredStrategy).

Each process uses all GPUs that it sees (CUDA_VISIBLE_DEVICES), or else the CPU. Gradients are
summed over all devices of all processes in every step. Light zone.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from imgcls.device import choice, kernels, usable
from imgcls.device.driver import Gpu
from imgcls.device.usable import UsableGpu
from imgcls.distributed.cluster import Cluster
from imgcls.io import signals
from imgcls.strategies import StrategySettings

if TYPE_CHECKING:
    import tensorflow as tf

JOB = "worker"
HEARTBEAT_TIMEOUT = 10
"""Seconds without a heartbeat after which a process counts as lost."""
CONNECT_TIMEOUT = 60
"""Seconds in which all processes must connect; after that, SIGALRM ends the waiting one.

They exceed it only if a process died after the rendezvous.
"""
GPU_CONNECT_TIMEOUT = 300
"""The same with GPUs, which each process starts meanwhile: some seconds each, without the driver's
persistence mode; one after the other.
"""
COMPILE_TIMEOUT = 1800
"""The same with GPUs for which the driver compiles TensorFlow's kernels, which takes minutes."""


class Settings(StrategySettings):
    """The strategy has no settings: --workers and --rank, TF_CONFIG or Slurm name the workers."""

    spans_devices: ClassVar[bool] = True
    spans_processes: ClassVar[bool] = True


def build(settings: Settings, cluster: Cluster) -> "tf.distribute.Strategy":
    """Connect to all processes of the cluster, and return their strategy.

    The rendezvous (imgcls/distributed/rendezvous.py) must come first.
    """
    from imgcls.backend import tf

    gpus = usable.list_usable_gpus()
    choice.use_gpus(gpus)
    _set_heartbeat_timeout(len(cluster.addresses))
    spec = tf.train.ClusterSpec({JOB: list(cluster.addresses)})
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        spec, task_type=JOB, task_id=cluster.rank, rpc_layer="grpc"
    )
    with signals.restore_default_signals(find_timeout(gpus)):
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)


def find_timeout(gpus: Sequence[UsableGpu]) -> int:
    """Return the seconds in which the processes must connect."""
    if not gpus:
        return CONNECT_TIMEOUT
    built = kernels.list_built()
    shown = [gpu.shown for gpu in gpus if isinstance(gpu.shown, Gpu)]
    compiled = len(shown) == len(gpus) and all(kernels.has_kernels(gpu, built) for gpu in shown)
    return GPU_CONNECT_TIMEOUT if compiled else COMPILE_TIMEOUT


def _set_heartbeat_timeout(workers: int) -> None:
    """Set the heartbeat timeout, for which TensorFlow has no public function."""
    from tensorflow.compiler.xla.tsl.protobuf.coordination_config_pb2 import CoordinatedJob
    from tensorflow.python.eager import context

    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader=f"/job:{JOB}/replica:0/task:0",
        heartbeat_timeout_in_ms=1000 * HEARTBEAT_TIMEOUT,
        coordinated_jobs=[CoordinatedJob(name=JOB, num_tasks=workers)],
    )
