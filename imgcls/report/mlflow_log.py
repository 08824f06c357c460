"""Logging runs to MLflow, with the extra `mlflow`. Light zone."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from imgcls.errors import UserError
from imgcls.io import terminal
from imgcls.report import run_values
from imgcls.run import Run
from imgcls.training import history

TAG = "imgcls.run"
"""The tag of a run in MLflow that has its folder, and by which it is found again."""
SIZE = 90
"""Parameters or metrics of a request; MLflow takes at most 100 parameters."""
LONGEST = 500
"""Characters of a parameter, which every version of MLflow takes."""


def log_runs(folders: Iterable[str], uri: str) -> None:
    """Log finished runs that MLflow does not have yet: settings, metrics, epochs, and the page.

    An experiment of imgcls is one of MLflow. A run that is there already, by its folder, is left.

    Args:
        uri: of the tracking server, such as http://localhost:5000.

    Raises:
        UserError: mlflow is not installed, or the server cannot be used.
        DataError: a file of a run is damaged.
    """
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise UserError(
            f"--mlflow needs mlflow ({error}); run: pip install 'imgcls[mlflow]'"
        ) from None
    try:
        client = MlflowClient(tracking_uri=uri)
        for folder in folders:
            _log_run(client, Run(Path(folder)))
    except MlflowException as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"--mlflow {uri}: {reason}") from None


def _log_run(client: Any, run: Run) -> None:
    if run.status.status != "finished":
        terminal.note(f"{run.folder} is {run.status.status}, and not logged to MLflow")
        return
    experiment = run.experiment
    found = client.get_experiment_by_name(experiment.name)
    number = found.experiment_id if found else client.create_experiment(experiment.name)
    folder = str(run.folder.resolve())
    quoted = folder.replace("'", "\\'")
    if client.search_runs([number], f"tags.`{TAG}` = '{quoted}'"):
        terminal.note(f"{run.folder} is in MLflow already")
        return
    name = f"{run.folder.parent.name}/{run.folder.name}"
    logged = client.create_run(number, run_name=name, tags={TAG: folder}).info.run_id
    _log_values(client, logged, run_values.read_values(run), run.log)
    if os.path.lexists(run.report_page):
        client.log_artifact(logged, str(run.report_page))
    client.log_artifact(logged, str(run.config_file))
    client.set_terminated(logged, "FINISHED")
    terminal.note(f"logged {run.folder} to MLflow")


def _log_values(
    client: Any, logged: str, values: run_values.Values, log: Sequence[history.EpochLog]
) -> None:
    """Log settings as parameters, other numbers as metrics, and the results of each epoch."""
    import time

    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    settings = set(values[run_values.SETTINGS])
    parameters = [Param(name, str(values[name])[:LONGEST]) for name in values if name in settings]
    metrics = [
        Metric(name, float(value), now, 0)
        for name, value in values.items()
        if name not in settings and isinstance(value, int | float)
    ]
    for epoch in log:
        results = ((name, getattr(epoch, name)) for name in (*history.RESULTS, "learning_rate"))
        metrics += [
            Metric(name, each, now, epoch.epoch) for name, each in results if each is not None
        ]
    for start in range(0, max(len(parameters), len(metrics)), SIZE):
        rows = slice(start, start + SIZE)
        client.log_batch(logged, metrics=metrics[rows], params=parameters[rows])
