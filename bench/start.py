"""Start-up time of the command line."""

import subprocess
import sys
from functools import partial

from bench.ratios import Ratio, measure_medians

ROUNDS = 7


def measure_ratios() -> list[Ratio]:
    """Compare `imgcls --help` and `imgcls check` with an empty Python program."""
    programs = {
        "python": ["-c", ""],
        "help": ["-m", "imgcls.cli", "--help"],
        "check": ["-m", "imgcls.cli", "check", "configs/digits.yaml"],
    }
    calls = {
        name: partial(subprocess.run, [sys.executable, *arguments], check=True, capture_output=True)
        for name, arguments in programs.items()
    }
    medians = measure_medians(calls, ROUNDS)
    for name, value in medians.items():
        print(f"start: {name} {value:.3f} s", file=sys.stderr)
    return [
        (f"imgcls {name} / an empty Python program", medians[name] / medians["python"], "")
        for name in ("help", "check")
    ]
