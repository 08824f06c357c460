"""Where the processes of a cluster find each other before TensorFlow connects them. Light zone.

While TensorFlow waits for a process that does not come, for an hour, it holds Python's lock: no
signal and no thread gets through. So all meet here first, compare what they are about to do, and
start together. The first worker listens on its own address, which TensorFlow takes over afterwards;
a message is one line of JSON.
"""

import contextlib
import hashlib
import json
import socket
import time
from collections.abc import Callable, Iterable, Iterator

from imgcls.distributed.cluster import Cluster
from imgcls.errors import Interrupted, UserError, WorkerLostError

TIMEOUT = 300.0
"""Seconds that a process waits for the others."""
POLL_SECONDS = 0.2
"""Seconds between two looks at what asks to stop."""
REJECT_SECONDS = 20.0
"""Seconds that the first process stays to tell the others why it does not train; they start a
little later.
"""
MAX_MESSAGE = 10_000
"""Bytes of a message that are read at most."""


def join_workers(
    cluster: Cluster,
    plans: dict[str, str],
    stopping: Callable[[], str | None],
    patience: float = TIMEOUT,
) -> None:
    """Wait until all processes are here and have the same plans.

    Args:
        plans: from a name for messages to a text that must be the same everywhere; the same names
            everywhere.
        stopping: tells what asks to stop, if anything.
        patience: seconds to wait.

    Raises:
        UserError: this process cannot listen on its address, or the plans or ranks do not fit
            together.
        WorkerLostError: a process did not come in time.
        Interrupted: `stopping` said so.
    """
    if cluster.is_single:
        return
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in plans.items()}
    deadline = time.monotonic() + patience

    def seconds_left() -> float:
        reason = stopping()
        if reason is not None:
            raise Interrupted(
                f"{reason} while waiting for the other workers; start all again with the same"
                " commands"
            )
        return deadline - time.monotonic()

    with _listen(cluster) as own:
        (_lead if cluster.is_chief else _follow)(cluster, digests, own, seconds_left)


@contextlib.contextmanager
def _listen(cluster: Cluster) -> Iterator[socket.socket]:
    """Listen on this process's own port, which shows that it is free."""
    address = cluster.addresses[cluster.rank]
    family = socket.AF_INET6 if address.startswith("[") else socket.AF_INET
    with socket.socket(family) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            own.bind(("", int(address.rpartition(":")[2])))
            own.listen(len(cluster.addresses))
        except (OSError, OverflowError) as error:
            raise UserError(
                f"worker {cluster.rank} cannot listen on {address} ({error}); choose a free port"
                " from 1024 to 65535"
            ) from None
        own.settimeout(POLL_SECONDS)
        yield own


def _lead(
    cluster: Cluster, digests: dict[str, str], own: socket.socket, seconds_left: Callable[[], float]
) -> None:
    """Wait for all others; then tell them to go on, or what is wrong."""
    with contextlib.ExitStack() as stack:
        waiting: dict[int, socket.socket] = {}
        while len(waiting) < len(cluster.addresses) - 1:
            try:
                _require_time(cluster, waiting, seconds_left)
            except UserError as error:
                _send(waiting.values(), {"error": str(error), "status": error.exit_code})
                raise
            with contextlib.suppress(TimeoutError):
                connection = stack.enter_context(own.accept()[0])
                try:
                    greeting = _receive(connection)
                    wrong = _find_mismatch(greeting, digests, waiting, len(cluster.addresses))
                except (
                    OSError,
                    ValueError,
                    KeyError,
                    TypeError,
                ):  # a stranger, or one of us whose words were late: it comes again
                    connection.close()
                    continue
                if wrong:
                    _send(
                        [*waiting.values(), connection],
                        {"error": wrong, "status": UserError.exit_code},
                    )
                    raise UserError(wrong)
                waiting[greeting["rank"]] = connection
        _send(waiting.values(), {"error": None})


def _require_time(
    cluster: Cluster, waiting: dict[int, socket.socket], seconds_left: Callable[[], float]
) -> None:
    """Raise when the time is over, with those who did not come, or when this process is asked to
    stop.
    """
    if seconds_left() <= 0:
        missing = [
            f"{rank} ({address})"
            for rank, address in enumerate(cluster.addresses)
            if rank and rank not in waiting
        ]
        raise WorkerLostError(
            f"worker {', '.join(missing)} did not come in time; start all workers again with the"
            " same commands"
        )


def _find_mismatch(
    greeting: dict, digests: dict[str, str], waiting: dict[int, socket.socket], workers: int
) -> str | None:
    """Return what does not fit in another process's greeting."""
    rank = greeting["rank"]
    if greeting["workers"] != workers or (rank in waiting and not _has_disconnected(waiting[rank])):
        return (
            f"two workers have the rank {rank}, or other lists of workers; give each its own"
            " --rank, and all the same --workers"
        )
    different = [name for name in digests if greeting["digests"][name] != digests[name]]
    if not different:
        return None
    return (
        f"worker {rank} does not have the same {' and '.join(different)} as worker 0; start all"
        " with the same command, files and versions"
    )


def _has_disconnected(connection: socket.socket) -> bool:
    """Tell whether the process at the other end has closed the connection, as one does that
    ends.
    """
    connection.settimeout(0)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@contextlib.contextmanager
def explain_to_workers(cluster: Cluster) -> Iterator[None]:
    """Where the first process refuses to train while the block runs, tell the others why: they are
    about to wait for it.
    """
    try:
        yield
    except UserError as error:
        if not cluster.is_single:
            _reject_workers(
                cluster, {"error": f"worker 0 ended: {error}", "status": error.exit_code}
            )
        raise


def _reject_workers(cluster: Cluster, message: dict[str, str | int | None]) -> None:
    """Give all others the message as they come, and wait no longer than TURNING_AWAY."""
    waiting, deadline = len(cluster.addresses) - 1, time.monotonic() + REJECT_SECONDS
    with (
        contextlib.suppress(UserError),
        _listen(cluster) as own,
    ):  # where it cannot listen, nobody can be told
        while waiting and time.monotonic() < deadline:
            with contextlib.suppress(OSError), own.accept()[0] as connection:
                _send([connection], message)
                waiting -= 1


def _send(connections: Iterable[socket.socket], message: dict[str, str | int | None]) -> None:
    for connection in connections:
        with contextlib.suppress(OSError):  # it ended; TensorFlow will notice
            connection.sendall(json.dumps(message).encode() + b"\n")


def _follow(
    cluster: Cluster, digests: dict[str, str], own: socket.socket, seconds_left: Callable[[], float]
) -> None:
    """Greet the first worker as soon as it listens, and wait for its word."""
    host, _, port = cluster.addresses[0].rpartition(":")
    greeting = {"rank": cluster.rank, "workers": len(cluster.addresses), "digests": digests}
    while seconds_left() > 0:
        try:
            with socket.create_connection(
                (host.strip("[]"), int(port)), timeout=POLL_SECONDS
            ) as connection:
                connection.sendall(json.dumps(greeting).encode() + b"\n")
                answer = _wait_for_answer(connection, seconds_left)
        except (OSError, ValueError):  # it does not listen yet, or has ended
            time.sleep(POLL_SECONDS)
            continue
        if answer["error"]:
            refusal = UserError(answer["error"])
            refusal.exit_code = answer["status"]
            raise refusal
        return
    raise WorkerLostError(
        f"worker 0 ({cluster.addresses[0]}) did not answer in time; start all workers again with"
        " the same commands"
    )


def _wait_for_answer(connection: socket.socket, seconds_left: Callable[[], float]) -> dict:
    while seconds_left() > 0:
        with contextlib.suppress(TimeoutError):
            return _receive(connection)
    raise TimeoutError


def _receive(connection: socket.socket) -> dict:
    """Return the one message on a connection.

    Raises:
        ValueError: it is none.
        TimeoutError: it does not come.
    """
    connection.settimeout(POLL_SECONDS)
    with connection.makefile("rb") as stream:
        message = json.loads(stream.readline(MAX_MESSAGE))
    if not isinstance(message, dict):
        raise ValueError(message)
    return message
