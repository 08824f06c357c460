"""Trains a run in this process, which may be one worker of a cluster. Heavy zone."""

from imgcls import environment, environment_variables
from imgcls.backend import tf
from imgcls.config import Experiment
from imgcls.distributed.cluster import SINGLE_PROCESS, Cluster
from imgcls.distributed.collectives import explain_lost_worker
from imgcls.distributed.rendezvous import wait_for_workers
from imgcls.errors import Interrupted, ProcessRestart
from imgcls.io import terminal
from imgcls.io.signals import StopRequest
from imgcls.run import Run
from imgcls.store.split_file import Split
from imgcls.store.store import Store
from imgcls.training import micro_batches
from imgcls.training.trainer import Trainer


def train_run(
    run: Run,
    experiment: Experiment,
    store: Store,
    split: Split,
    stop: StopRequest,
    cluster: Cluster = SINGLE_PROCESS,
) -> None:
    """Train a run to its end, after a rendezvous with the other workers.

    Raises:
        OutOfMemoryError: the model, or a step on one image, does not fit the device.
        WorkerLostError: another worker ended, or does not respond.
        DataError: the store was changed while it was in use.
        UserError: a checkpoint could not be written.
        Interrupted, EpochLimit, DivergenceError: as `Trainer.train`.
    """
    _wait_for_workers(experiment, store, split, stop, cluster)
    try:
        trainer = Trainer(run, experiment, store, split, cluster, stop.started)
        terminal.note(
            f"model {experiment.model.name}: {trainer.model.count_params():,} parameters, images of"
            f" {'x'.join(map(str, trainer.model.input_shape[1:]))}"
        )
        try:
            with store.change_detector.guard(), trainer.recorder.complete_writing():
                trainer.train(stop)
        finally:
            trainer.close()
    except ProcessRestart as error:
        if stop.reason:  # a signal that came with the failing steps, which nobody would send again
            raise Interrupted(f"{stop.reason}, {error.reason}", error.advice) from None
        raise
    except tf.errors.OpError as error:
        if micro_batches.is_out_of_memory(error, cluster.is_single):
            raise micro_batches.make_building_error(error) from None
        raise explain_lost_worker(error, run.folder, len(cluster.addresses)) from None


def _wait_for_workers(
    experiment: Experiment, store: Store, split: Split, stop: StopRequest, cluster: Cluster
) -> None:
    """Wait until all workers have started and agree; raises as `wait_for_workers`."""
    # The time limit may differ: that of any worker stops all. So may the memory of their GPUs.
    settings = experiment.train.model_dump(exclude={"time_limit", "gpu_memory"})
    same = {
        "experiment": (experiment.identity(), settings, stop.epochs),
        "data": (store.fingerprint, split.sha256),
        "workers": cluster.addresses,
    }
    if experiment.train.deterministic:
        environment_variables.turn_off_nvlink_sharp()  # before workers compare the variable
    wait_for_workers(
        cluster,
        {name: repr(value) for name, value in same.items()},
        environment.read_runtime().list_shared_properties(),
        lambda: stop.reason,
    )
