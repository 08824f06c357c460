"""Continues a training after divergence, or when memory ran out. Heavy zone."""

from collections.abc import Callable

from imgcls.backend import tf
from imgcls.config import Experiment
from imgcls.errors import DivergenceError
from imgcls.io import terminal
from imgcls.training import micro_batches
from imgcls.training.state import TrainingState


def recover_from_divergence(
    error: DivergenceError, experiment: Experiment, state: TrainingState
) -> None:
    """Go back to the last good checkpoint, and lower the learning rate.

    Raises:
        DivergenceError: `train.on_divergence` is not set, or its retries are used up.
    """
    policy = experiment.train.on_divergence
    if policy is None or error.details is None:
        raise error
    state.restore()
    if len(state.counters.retries) >= policy.retries:
        raise DivergenceError(
            f"{error}; the {policy.retries} retries of train.on_divergence are used up",
            error.details,
        )
    count = state.counters.add_retry(error.details, policy.learning_rate_factor)
    state.save()
    terminal.note(
        f"{error}; going back to step {state.counters.step} with"
        f" {policy.learning_rate_factor:g} times the learning rate (retry {count} of"
        f" {policy.retries})"
    )


def recover_from_out_of_memory(
    error: tf.errors.OpError, experiment: Experiment, state: TrainingState
) -> None:
    """Go back to the last checkpoint, and continue with more accumulation steps.

    Raises:
        OutOfMemoryError: a micro-batch holds one image already.
        Interrupted: the workers of a cluster must start again, or this process.
        tf.errors.OpError: the error itself, if it does not say that memory ran out.
    """
    failed_step = state.counters.step
    accumulation_steps = divide_batches(
        error,
        state.local_batch_size,
        state.counters.accumulation_steps,
        state.recorder.request_accumulation_steps,
        is_single=state.collectives.is_single,
    )
    size = state.local_batch_size // accumulation_steps
    state.restore()
    state.set_accumulation_steps(accumulation_steps)
    state.save()
    terminal.note(
        f"out of memory after step {failed_step}; continuing from step {state.counters.step}"
        f" with micro-batches of {size}"
    )
    micro_batches.note_batch_norm(experiment, accumulation_steps)


def divide_batches(
    error: tf.errors.OpError,
    local_batch_size: int,
    current: int,
    request: Callable[[int], None],
    *,
    is_single: bool,
) -> int:
    """Return the number of accumulation steps to continue with after memory ran out.

    Args:
        error: what TensorFlow raised.
        current: the number of accumulation steps with which memory ran out.
        request: leaves a number for the next start, if this process cannot continue.
        is_single: whether this process trains alone.

    Raises:
        OutOfMemoryError, Interrupted, tf.errors.OpError: as `recover_from_out_of_memory`.
    """
    if not micro_batches.is_out_of_memory(error, is_single):
        raise error
    number = micro_batches.increase_accumulation_steps(local_batch_size, current, error)
    if not is_single or micro_batches.is_library_failure(error):
        request(number)
        raise micro_batches.make_restart_error(error, local_batch_size // number, is_single)
    return number
