"""The greedy soup: an average of the weights of a run's best epochs. Heavy zone."""

from collections.abc import Callable, Sequence

import numpy

from imgcls.backend import keras
from imgcls.io import terminal
from imgcls.monitor_settings import Monitor
from imgcls.training.model_description import SoupDescription


def make_greedy_soup(
    epochs: Sequence[int],
    read_weights: Callable[[int], list[numpy.ndarray]],
    variables: list[keras.Variable],
    evaluate: Callable[[], tuple[float, float]],
    monitor: Monitor,
) -> SoupDescription:
    """Average the weights of epochs into a model's variables, and say which went in.

    An epoch goes in if the monitored quantity of the average with it is at least as good as without
    it (Wortsman et al., "Model soups", 2022, algorithm 1). Everything is a function of the files of
    weights, so a soup that was interrupted is made again to the same bits.

    Args:
        epochs: from the best to the worst.
        read_weights: returns the values of the variables after an epoch, in their order.
        variables: of the model; those that are not floats keep the values of the best epoch.
        evaluate: returns loss and accuracy of the model with its current values on validation,
            after it estimated the statistics of batch norm again, if that is asked for.
    """
    best = read_weights(epochs[0])
    totals, chosen = [_widen(value) for value in best], [epochs[0]]
    _assign(variables, totals, 1)
    results = evaluate()
    for epoch in epochs[1:]:
        candidates = [
            total + _widen(value) if _is_float(value) else total
            for total, value in zip(totals, read_weights(epoch), strict=True)
        ]
        _assign(variables, candidates, len(chosen) + 1)
        candidate_results = evaluate()
        if _is_at_least_as_good(candidate_results, results, monitor):
            totals, results = candidates, candidate_results
            chosen.append(epoch)
    _assign(variables, totals, len(chosen))
    results = evaluate()
    soup = SoupDescription(epochs=chosen, val_loss=results[0], val_accuracy=results[1])
    averaged = (
        f"has the weights of epoch {chosen[0]} alone"
        if len(chosen) == 1
        else f"averages epochs {', '.join(map(str, chosen))}"
    )
    terminal.note(
        f"the soup {averaged}, of"
        f" {', '.join(map(str, epochs))}; its val_loss is {soup.val_loss:.4f}, its val_accuracy"
        f" {soup.val_accuracy:.4f}"
    )
    return soup


def _is_at_least_as_good(
    new: tuple[float, float], old: tuple[float, float], monitor: Monitor
) -> bool:
    """Compare (loss, accuracy); a value that is not a number is never good."""
    return new[0] <= old[0] if monitor == "val_loss" else new[1] >= old[1]


def _is_float(value: numpy.ndarray) -> bool:
    return value.dtype.kind not in "iub"


def _widen(value: numpy.ndarray) -> numpy.ndarray:
    """Return a float array in float64, in which sums are exact enough; any other as it is."""
    return value.astype(numpy.float64) if _is_float(value) else value


def _assign(variables: list[keras.Variable], totals: list[numpy.ndarray], count: int) -> None:
    for variable, total in zip(variables, totals, strict=True):
        variable.assign(total / count if _is_float(total) else total)
