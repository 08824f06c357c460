"""A training process that trains an epoch each time it is told to, so that several ways of training can be timed in turns. Heavy zone.

Run as `python -m imgcls.probe EXPERIMENT FOLDER [WORKERS RANK]`; `imgcls doctor` and the benchmarks do. The line `epoch` trains one,
and is answered with its log entry; any other line is a path, to which the weights are written. The end of the input ends it.
"""

import json
import sys
from pathlib import Path

import numpy

from imgcls.cluster import ALONE, Cluster, described
from imgcls.experiment_file import read_experiment
from imgcls.finding import find_store
from imgcls.run import create_run
from imgcls.signals import StopRequest
from imgcls.trainer import Trainer


def serve(path: Path, folder: Path, cluster: Cluster) -> None:
    """Do what the lines of stdin say, and answer each with a line on stdout."""
    experiment = read_experiment(path)
    trainer = Trainer(create_run(experiment, folder), experiment, *find_store(experiment), cluster)
    epochs = trainer.epochs(StopRequest())
    for line in map(str.strip, sys.stdin):
        if line == "epoch":
            answer = next(epochs)
        else:
            numpy.savez(line, *trainer.model.get_weights())
            answer = line
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    place, where, *workers = sys.argv[1:]
    serve(Path(place), Path(where), described(workers[0], int(workers[1]), {}) if workers else ALONE)
