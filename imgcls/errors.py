"""What can go wrong for a user, each with the exit code that scripts rely on. Light zone.

`UserError` and its children are for people: they carry a message that says what is wrong, what was
received and what to do, and reach the terminal without a traceback. A bug is any other exception;
it exits with code 1.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imgcls.training.status import Divergence


class UserError(Exception):
    """The command line or the experiment file is wrong, or a file cannot be written. Exit code
    2.
    """

    exit_code = 2


class DataError(UserError):
    """Data is missing, broken or changed. Exit code 3."""

    exit_code = 3


class DivergenceError(UserError):
    """Training met a non-finite loss, gradient or weight. Exit code 4.

    Attributes:
        details: where it was; None where it was not in training.
    """

    exit_code = 4

    def __init__(self, message: str, details: "Divergence | None" = None):
        super().__init__(message)
        self.details = details


class OutOfMemoryError(UserError):
    """The device or the host ran out of memory. Exit code 5."""

    exit_code = 5


class GateError(UserError):
    """A gate such as `--fail-under` did not hold. Exit code 6."""

    exit_code = 6


class Interrupted(UserError):
    """A signal stopped the work after its state was saved. Exit code 75 (EX_TEMPFAIL of
    sysexits.h).
    """

    exit_code = 75


class WorkerLostError(Interrupted):
    """Another process of the cluster ended, or does not answer; the last saved state is kept. Exit
    code 75.
    """


class EpochLimit(Interrupted):
    """The work stopped after as many epochs as were asked for. Exit code 75."""
