"""Start-up time of the command line."""

import statistics
import subprocess
import sys
import time

ROUNDS = 7


def measure_ratios() -> list[tuple[str, float, str]]:
    """Compare `imgcls --help` and `imgcls check` with an empty Python program."""
    programs = {
        "python": ["-c", ""],
        "help": ["-m", "imgcls.cli", "--help"],
        "check": ["-m", "imgcls.cli", "check", "configs/digits.yaml"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, arguments in programs.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in medians.items():
        print(f"start: {name} {value:.3f} s", file=sys.stderr)
    return [
        (f"imgcls {name} / an empty Python program", medians[name] / medians["python"], "")
        for name in ("help", "check")
    ]
