"""Errors for users, each with its exit code. Light zone.

The message of a `UserError` says what is wrong, what was received and what to do; it is printed
without a traceback. Any other exception is a bug, and ends the command with exit code 1.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imgcls.training.status import Divergence


class UserError(Exception):
    """The command line or experiment file is wrong, or a file cannot be written. Exit code 2."""

    exit_code = 2


class DataError(UserError):
    """Data is missing, damaged or changed. Exit code 3."""

    exit_code = 3


class DivergenceError(UserError):
    """A loss, gradient or weight is not finite. Exit code 4.

    Attributes:
        details: epoch and step of the divergence; None outside of training.
    """

    exit_code = 4

    def __init__(self, message: str, details: "Divergence | None" = None):
        super().__init__(message)
        self.details = details


class OutOfMemoryError(UserError):
    """The device or the host ran out of memory. Exit code 5."""

    exit_code = 5


class GateError(UserError):
    """A metric did not pass a gate such as `--fail-under`, or a comparison failed. Exit code 6.

    It is raised once the command has written everything.

    Attributes:
        result: what the verb would have returned.
    """

    exit_code = 6

    def __init__(self, message: str, result: Any):
        super().__init__(message)
        self.result = result


class Interrupted(UserError):
    """A signal or limit stopped the command; run it again to continue. Exit code 75.

    75 is EX_TEMPFAIL of sysexits.h.

    Attributes:
        reason: what stopped it.
        advice: how to continue; the message is both.
    """

    exit_code = 75

    def __init__(self, reason: str, advice: str = ""):
        super().__init__("; ".join(filter(None, [reason, advice])))
        self.reason = reason
        self.advice = advice


class WorkerLostError(Interrupted):
    """Another worker ended or does not respond; the last checkpoint is kept. Exit code 75."""


class ProcessRestart(Interrupted):
    """Training can only continue in a new process, which `imgcls train` starts by itself."""


class EpochLimit(Interrupted):
    """Training stopped after the requested number of epochs. Exit code 75."""


def get_exit_code(error: BaseException) -> int:
    """Return the exit code of a command that ends with an error; 1 for a bug."""
    if isinstance(error, UserError):
        return error.exit_code
    if isinstance(error, MemoryError):
        return OutOfMemoryError.exit_code
    return Interrupted.exit_code if isinstance(error, KeyboardInterrupt) else 1
