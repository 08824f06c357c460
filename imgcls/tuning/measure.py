"""Measures the model of a trial, in a process of its own. Light zone.

`python -m imgcls.tuning.measure RUN FILE [latency]` writes parameters, multiply-adds and, on
request, the latency to a JSON file. TensorFlow is imported inside functions.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from imgcls.family import Family, is_family
from imgcls.io.records import write_record
from imgcls.run import Run
from imgcls.tuning.objective import TrialCost


def measure(folder: Path, with_latency: bool) -> TrialCost:
    """Return what the model of a run, or of the first run of a family, costs.

    Raises:
        DataError: the model is missing or damaged.
    """
    from imgcls.compression import latency, networks

    run = Family(folder).runs[0] if is_family(folder) else Run(folder)
    network = networks.load_logits(run)
    milliseconds = None
    if with_latency:
        predict = latency.compile_model(network)
        (by_batch,) = latency.measure([predict], run.data.shape)
        milliseconds = by_batch[latency.BATCHES.index(1)]
    size = networks.count_network(network)
    return TrialCost(
        parameters=size.parameters, multiply_adds=size.multiply_adds, latency=milliseconds
    )


def main(arguments: Sequence[str]) -> None:
    """Measure a run, and write the result."""
    folder, target, *wanted = arguments
    write_record(Path(target), measure(Path(folder), "latency" in wanted))


if __name__ == "__main__":
    main(sys.argv[1:])
