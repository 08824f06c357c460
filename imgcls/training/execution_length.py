"""Chooses how many steps run in one call of a compiled function. Light zone.

A call costs some milliseconds of Python and, on a GPU, of waiting for the device; but signals and
the time limit are checked between calls only.
"""

from imgcls.io import terminal

TARGET_SECONDS = 0.2
"""How long an execution should take: its overhead is then a few percent at most."""
MAX_GROWTH = 8
"""The first calls are longer by this factor at most, so that a wrong measurement costs little."""


class ExecutionLength:
    """The number of steps of an execution: given, or chosen from the times of the first calls.

    It starts with one step, grows by powers of two, and stays once it does not grow.

    Args:
        given: `train.steps_per_execution`.
        most: the most steps to choose: of an epoch, or between two checkpoints.

    Attributes:
        steps: of the next execution.
        is_fixed: whether it is given or chosen, and no longer changes.
    """

    def __init__(self, given: int | None, most: int):
        self.steps = given or 1
        self.is_fixed = given is not None
        self._most = most
        self._is_compiling = True

    def expect_compilation(self) -> None:
        """Ignore the time of the next call, which compiles the function."""
        self._is_compiling = True

    def record(self, count: int, seconds: float) -> None:
        """Choose the number of steps again, unless it is fixed; print it when it becomes so.

        Args:
            count: steps of the last execution; fewer than `steps` before a checkpoint or the end of
                an epoch.
            seconds: what it took; the same on all workers, whose executions must be equally long.
        """
        if self.is_fixed or self._is_compiling:
            self._is_compiling = False
            return
        if self.steps < self._most:
            wanted = TARGET_SECONDS * count / max(seconds, 1e-6)
            longer = min(_round_down(min(wanted, MAX_GROWTH * count)), self._most)
            if count < self.steps or longer > self.steps:
                self.steps = max(longer, self.steps)
                return
        self.is_fixed = True
        steps = "1 step runs" if self.steps == 1 else f"{self.steps} steps run"
        terminal.note(
            f"{steps} in each call, for about"
            f" {self.steps * seconds / count:.2g} s (train.steps_per_execution)"
        )


def _round_down(number: float) -> int:
    """Return the largest power of two up to a number, and at least 1."""
    return 1 << max(int(number), 1).bit_length() - 1
