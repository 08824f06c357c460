"""Trains the file's own values and those of the best trial on seeds that the search did not use.
Light zone.
"""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from imgcls.comparison.record import Comparison
from imgcls.errors import (
    DataError,
    DivergenceError,
    Interrupted,
    OutOfMemoryError,
    UserError,
)
from imgcls.family import MAX_MEMBERS
from imgcls.io import files, terminal
from imgcls.io.signals import StopRequest
from imgcls.tuning.job import IMGCLS, PYTHON, STOP_SECONDS
from imgcls.tuning.record import Confirmation, TrialRecord
from imgcls.tuning.study import OpenStudy

_ERRORS = {
    each.exit_code: each for each in (DataError, DivergenceError, OutOfMemoryError, Interrupted)
}
_POLL = 0.1
"""Seconds between two polls of a training process."""


def require_possible(opened: OpenStudy, count: int) -> None:
    """Check before a search that its result can be confirmed.

    Raises:
        UserError: the number of seeds is wrong, or the search uses the test images.
    """
    if not 2 <= count <= MAX_MEMBERS:
        raise UserError(
            f"--confirm {count}: needs a whole number of seeds from 2 to {MAX_MEMBERS:,}"
        )
    if opened.tune.folds:
        raise UserError(
            "--confirm tests on the test split, but the folds of tune.folds may contain its images;"
            " search with tune.seeds instead, or without --confirm"
        )


def list_seeds(opened: OpenStudy, count: int) -> list[int]:
    """Return seeds that the search did not use: the next ones after those of its trials."""
    first = opened.experiment.seed + (opened.tune.seeds or 1)
    return list(range(first, first + count))


def list_families(opened: OpenStudy, best: TrialRecord, count: int) -> list[Path]:
    """Return the folders of the two families: of the file's own values, and of the best trial."""
    names = (f"own-{count}", f"trial-{best.number}-{count}")
    return [opened.folder.confirmation(name) for name in names]


def get_comparison_folder(opened: OpenStudy, best: TrialRecord, count: int) -> Path:
    """Return the folder of their comparison."""
    return opened.folder.confirmation(f"comparison-{best.number}-{count}")


def train_families(
    opened: OpenStudy,
    best: TrialRecord,
    seeds: Sequence[int],
    stop: StopRequest,
    program: Sequence[str] = IMGCLS,
) -> None:
    """Train a family of each, one after the other; what is finished stays.

    Raises:
        UserError: a training failed, with the exit code that it had.
        Interrupted: a signal stopped it; the same command continues.
    """
    own = opened.experiment.model_copy(update={"tune": None}).to_yaml()
    text = opened.space.apply(best.parameters).to_yaml()
    for folder, content in zip(list_families(opened, best, len(seeds)), (own, text), strict=True):
        file = folder.with_suffix(".yaml")
        files.write_text(file, content)
        words = ["train", str(file), "--seeds", ",".join(map(str, seeds)), "--run", str(folder)]
        terminal.note(f"confirming: {folder}, {len(seeds)} seeds")
        _run([*program, *words], stop, str(folder))


def _run(command: Sequence[str], stop: StopRequest, name: str) -> None:
    """Run a command, which prints on this one's stderr, and ends with it."""
    own = [*PYTHON, "imgcls.tuning.child", str(os.getpid()), ""]
    process = subprocess.Popen(
        [*own, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches this process alone, which stops it once
    )
    while process.poll() is None and not stop.reason:
        time.sleep(_POLL)
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if stop.reason:
        raise Interrupted(stop.reason, "run the same command again to continue")
    if code := process.returncode:
        kind = Interrupted if code < 0 else _ERRORS.get(code, UserError)
        raise kind(f"{name} was not trained (exit code {code}); run the same command again")


def describe(
    opened: OpenStudy, best: TrialRecord, seeds: Sequence[int], comparison: Comparison
) -> Confirmation:
    """Return the result of a comparison of the two families."""
    (pair,) = comparison.comparisons
    return Confirmation(
        own=pair.old,
        best=pair.new,
        trial=best.number,
        seeds=list(seeds),
        own_accuracy=comparison.find(pair.old).metrics.get("accuracy"),
        best_accuracy=comparison.find(pair.new).metrics.get("accuracy"),
        sentence=pair.sentence,
        comparison=str(get_comparison_folder(opened, best, len(seeds))),
    )
