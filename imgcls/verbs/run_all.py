"""The command `run`: prepares, trains, evaluates and plots an experiment. Light zone.

Each step is the verb of its name, and what is there already is kept: the same command again goes on
where it was interrupted.
"""

import os
from pathlib import Path
from typing import Any

from imgcls.config import Experiment
from imgcls.evaluation.record import Evaluation
from imgcls.io import terminal
from imgcls.run import Run
from imgcls.run_lookup import find_originals, try_read_experiment
from imgcls.verbs import evaluate, plot, prepare
from imgcls.verbs import train as train_run


def run(experiment: Experiment, folder: Path | None = None) -> dict[str, Any]:
    """Prepare the data, train a run or continue it, evaluate it on the test split, and plot it.

    Args:
        folder: of the run; None for the newest run of this experiment, or a new one.

    Returns:
        What the verbs return, by their names: `prepare`, `train`, `eval`, `plot`.

    Raises:
        UserError, DataError, DivergenceError, OutOfMemoryError, Interrupted: as they do.
    """
    terminal.note("prepare (1 of 4)")
    prepared = prepare.prepare(experiment)
    folder = folder or find_newest(experiment)
    terminal.note("train (2 of 4)")
    trained = train_run.train(experiment, folder)
    if trained is None:
        raise ValueError("a run of several workers is trained by `imgcls train`")
    run = Run(Path(trained["run"]))
    terminal.note(f"eval (3 of 4): {run.folder}")
    evaluated = evaluate.evaluate(run, experiment)
    terminal.note(f"plot (4 of 4): {run.folder}")
    written = plot.plot(run, experiment)
    return {
        "prepare": prepared,
        "train": trained,
        "eval": evaluated,
        "plot": list(map(str, written)),
    }


def find_newest(experiment: Experiment) -> Path | None:
    """Return the newest run of an experiment, finished or not; None if there is none."""
    for run in reversed(find_originals(experiment.name)):
        if os.path.lexists(run.status_file):
            earlier = try_read_experiment(run)
            if earlier and earlier.identity() == experiment.identity():
                return run.folder
    return None


def format_report(result: dict[str, Any]) -> str:
    """Return the classes, the summary of the training, the metrics, and where the page is."""
    evaluated: Evaluation = result["eval"]
    folder = result["train"]["run"]
    return "\n\n".join(
        [
            prepare.format_classes(result["prepare"]),
            train_run.format_summary(result["train"]),
            evaluate.format_report(evaluated, Path(folder)).rstrip(),
            f"page: {result['plot'][-1]}",
        ]
    )
