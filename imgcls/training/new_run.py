"""Creates the folders of runs. Light zone."""

from pathlib import Path

from imgcls.config import Experiment
from imgcls.io import files, numbered_folders
from imgcls.io.records import write_record
from imgcls.run import RUNS, Run
from imgcls.training.reproduction import Reproduction


def create_run(
    experiment: Experiment, folder: Path | None = None, reproduction: Reproduction | None = None
) -> Run:
    """Create a run folder with config.yaml and status.json.

    Args:
        folder: the run folder; `runs/<experiment name>/<next number>` unless given.
        reproduction: what the run is a reproduction of, if it is one.
    """
    with files.explain_errors(folder or RUNS):
        run = Run(folder or numbered_folders.make_next(RUNS / experiment.name))
        run.folder.mkdir(parents=True, exist_ok=True)
    with run.lock():
        if run.can_be_recreated():
            early = run.data_file, run.weights_file, run.linear_probe_file, run.teacher_file
            for path in early:
                path.unlink(missing_ok=True)
            run.write_status("created")
            if reproduction:
                write_record(run.reproduction_file, reproduction)
            # Last, since it makes the folder a run: no command finds one without its mark.
            files.write_text(run.config_file, experiment.to_yaml())
    return run
