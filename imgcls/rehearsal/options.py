"""The options of `imgcls train` that rehearse instead of training a run. Light zone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from imgcls.errors import UserError


@dataclass(frozen=True)
class Rehearsal:
    """What to do instead of training a run.

    Attributes:
        kind: the option that asks for it.
        arguments: the experiment and its `--set` options, as they follow `imgcls train` in a shell.
        images: how many images to overfit; None for other rehearsals.
    """

    kind: Literal["find_learning_rate", "overfit", "dry_run"]
    arguments: str
    images: int | None = None


def parse_rehearsal(
    find_learning_rate: bool,
    overfit: int | None,
    dry_run: bool,
    others: Mapping[str, object],
    arguments: str,
) -> Rehearsal | None:
    """Return what to do instead of training a run, from the options of the command.

    Args:
        others: the values of the options about runs, families and workers, by name; None if they
            are not given.
        arguments: those of `Rehearsal`.

    Returns:
        None if none of the options is given.

    Raises:
        UserError: several are given, or one beside another option that it excludes, or there are no
            images to overfit.
    """
    flags = {
        "--find-learning-rate": find_learning_rate,
        "--overfit": overfit is not None,
        "--dry-run": dry_run,
    }
    given = [name for name, is_given in flags.items() if is_given]
    if not given:
        return None
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} exclude each other; give one of them")
    excluded = [name for name, value in others.items() if value is not None]
    if excluded:
        raise UserError(
            f"{given[0]} leaves no run, and works in one process; it cannot be combined with"
            f" {' and '.join(excluded)}"
        )
    if overfit is not None and overfit < 1:
        raise UserError(f"--overfit {overfit}: needs a number of training images, at least 1")
    if overfit is not None:
        return Rehearsal("overfit", arguments, overfit)
    return Rehearsal("dry_run" if dry_run else "find_learning_rate", arguments)


def require_one_process(rehearsal: Rehearsal, spans_processes: bool, strategy: str) -> None:
    """Check that the experiment is for one process.

    Raises:
        UserError: it is for several.
    """
    if spans_processes:
        option = f"--{rehearsal.kind.replace('_', '-')}"
        raise UserError(
            f"{option} works in one process, but train.strategy is {strategy}; add"
            " --set train.strategy=mirrored, with --set train.batch_size=N for a part of the batch"
        )
