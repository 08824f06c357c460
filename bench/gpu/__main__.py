"""`make gpu`: runs all checks on the GPUs of this machine, and prints Markdown for docs/gpu.md.

Takes some ten minutes. Exit code 2 without a GPU, 6 if a check failed. Arguments are names of
checks, instead of all.
"""

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.gpu import _environment, _process
from bench.gpu._row import Row, Target, format_table
from imgcls.device.usable import UsableGpu
from imgcls.errors import GateError, UserError

LIMIT_MIB = 1024
"""TensorFlow's memory while it runs out of it on purpose."""


def main(names: Sequence[str]) -> int:
    """Run checks on the GPUs, print the environment and the table, and return the exit code."""
    try:
        gpus = _environment.find_gpus()
    except UserError as error:
        print(f"make gpu: {error}", file=sys.stderr)
        return error.exit_code
    print(_environment.format_environment(gpus), end="\n\n")
    rows = list(run_checks(names or _process.CHECKS, make_target(gpus)))
    print(format_table(rows))
    return GateError.exit_code if any(row.outcome == "FAILED" for row in rows) else 0


def make_target(gpus: Sequence[UsableGpu]) -> Target:
    """Return what the checks run on: all GPUs.

    If the driver does not show the memory of the first, half of it is the limit.
    """
    fraction = LIMIT_MIB / (gpus[0].memory_mib or 2 * LIMIT_MIB)
    return Target(
        devices=tuple(f"GPU:{i}" for i in range(len(gpus))),
        variables={},
        overrides=(f"train.gpu_memory={fraction:.4f}",),
        large_batch=16 * LIMIT_MIB,
        images=60_000,
    )


def run_checks(names: Sequence[str], target: Target) -> Iterator[Row]:
    """Run checks one after the other, and print what they find to stderr, too.

    Yields:
        The rows of each.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            start = time.monotonic()
            rows = _process.run_check(name, target, Path(folder) / name)
            print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
            for row in rows:
                print(f"  {row.outcome}: {row.check}: {row.measured}", file=sys.stderr)
            yield from rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
