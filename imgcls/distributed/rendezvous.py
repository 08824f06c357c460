"""The rendezvous of all workers, before TensorFlow connects them. Light zone.

TensorFlow waits up to an hour for a missing process, and holds the GIL: no signal handler and no
thread can run. So the workers first find each other here, check that they are about to do the same,
and start together. The chief listens on its own address, which TensorFlow takes over afterwards.
A message is one line of JSON.
"""

import contextlib
import hashlib
import json
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from imgcls.distributed.cluster import Cluster
from imgcls.environment import find_differences
from imgcls.errors import Interrupted, UserError, WorkerLostError

TIMEOUT = 300.0
"""Seconds that a process waits for the others."""
POLL_SECONDS = 0.2
"""Seconds between two checks for a stop request."""
REJECT_SECONDS = 20.0
"""Seconds that a failing chief waits for workers, which may start a little later, to tell them."""
MAX_MESSAGE = 100_000
"""Maximum length of a message, in bytes."""
MAX_VALUE = 200
"""Length from which a property is shortened in messages, in characters."""

Common = dict[str, dict[str, str]]
"""What must be equal on all workers: digests, and properties with their values."""


def wait_for_workers(
    cluster: Cluster,
    invariants: Mapping[str, str],
    properties: Mapping[str, str],
    get_stop_reason: Callable[[], str | None],
    timeout: float = TIMEOUT,
) -> None:
    """Wait until all processes have started, and check that their invariants are equal.

    Args:
        invariants: texts that must be equal on all processes, each by its name for messages.
        properties: what else must be equal; messages state the values that differ.
        get_stop_reason: returns what requests a stop, such as a signal; None if nothing does.
        timeout: in seconds.

    Raises:
        UserError: this process cannot listen on its address, or invariants, properties or ranks
            conflict.
        WorkerLostError: a process did not start within the timeout.
        Interrupted: a stop was requested.
    """
    if cluster.is_single:
        return
    common = {
        "digests": {name: _compute_digest(text) for name, text in invariants.items()},
        "properties": {name: _shorten(text) for name, text in properties.items()},
    }
    deadline = time.monotonic() + timeout

    def get_seconds_left() -> float:
        reason = get_stop_reason()
        if reason is not None:
            raise Interrupted(
                f"{reason} while waiting for the other workers",
                "start all again with the same commands",
            )
        return deadline - time.monotonic()

    with _listen(cluster) as server:
        if cluster.is_chief:
            _accept_workers(cluster, common, server, get_seconds_left)
        else:
            _register_with_chief(cluster, common, get_seconds_left)


def _compute_digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _shorten(value: str) -> str:
    """Return a value, or its beginning and a digest of it if it is long."""
    if len(value) <= MAX_VALUE:
        return value
    return f"{value[: MAX_VALUE // 2]}... (SHA-256 {_compute_digest(value)[:12]})"


@contextlib.contextmanager
def _listen(cluster: Cluster) -> Iterator[socket.socket]:
    """Listen on this process's port; workers do so too, to check that TensorFlow can use it."""
    address = cluster.addresses[cluster.rank]
    family = socket.AF_INET6 if address.startswith("[") else socket.AF_INET
    with socket.socket(family) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("", int(address.rpartition(":")[2])))
            server.listen(len(cluster.addresses))
        except (OSError, OverflowError) as error:
            raise UserError(
                f"worker {cluster.rank} cannot listen on {address} ({error}); choose a free port"
                " from 1024 to 65535"
            ) from None
        server.settimeout(POLL_SECONDS)
        yield server


def _accept_workers(
    cluster: Cluster,
    common: Common,
    server: socket.socket,
    get_seconds_left: Callable[[], float],
) -> None:
    """As the chief, wait until all workers have registered, and tell them to start.

    On an error, tell those that have registered what is wrong.
    """
    with contextlib.ExitStack() as stack:
        registered: dict[int, socket.socket] = {}
        while len(registered) < len(cluster.addresses) - 1:
            try:
                _check_deadline(cluster, registered, get_seconds_left)
            except UserError as error:
                _send(registered.values(), {"error": str(error), "status": error.exit_code})
                raise
            with contextlib.suppress(TimeoutError):
                connection = stack.enter_context(server.accept()[0])
                try:
                    request = _receive(connection)
                    problem = _find_mismatch(request, common, registered, len(cluster.addresses))
                except (OSError, ValueError, KeyError, TypeError):
                    # Not a worker, or one whose request was late, which will try again.
                    connection.close()
                    continue
                if problem:
                    _send(
                        [*registered.values(), connection],
                        {"error": problem, "status": UserError.exit_code},
                    )
                    raise UserError(problem)
                registered[request["rank"]] = connection
        _send(registered.values(), {"error": None})


def _check_deadline(
    cluster: Cluster,
    registered: dict[int, socket.socket],
    get_seconds_left: Callable[[], float],
) -> None:
    """Raise `WorkerLostError` after the deadline, or `Interrupted` if a stop was requested."""
    if get_seconds_left() <= 0:
        missing = [
            f"{rank} ({address})"
            for rank, address in enumerate(cluster.addresses)
            if rank and rank not in registered
        ]
        raise WorkerLostError(
            f"worker {', '.join(missing)} did not start in time; start all workers again with the"
            " same commands"
        )


def _find_mismatch(
    request: dict[str, Any],
    common: Common,
    registered: dict[int, socket.socket],
    workers: int,
) -> str | None:
    """Return what conflicts with the chief in a worker's request; None if nothing does."""
    rank = request["rank"]
    is_taken = rank in registered and not _has_disconnected(registered[rank])
    if request["workers"] != workers or is_taken:
        return (
            f"two workers have rank {rank}, or different lists of workers; give each its own"
            " --rank, and all the same --workers"
        )
    digests = common["digests"]
    different = [name for name in digests if request["digests"][name] != digests[name]]
    if different:
        return (
            f"worker {rank} does not have the same {' and '.join(different)} as worker 0; start all"
            " with the same command and files"
        )
    sentence = f"{{}} is {{}} on worker 0, but {{}} on worker {rank}"
    found = find_differences(common["properties"], request["properties"], sentence)
    return f"{'; '.join(found)}; make them the same on all workers" if found else None


def _has_disconnected(connection: socket.socket) -> bool:
    """Tell whether the peer has closed the connection, as it does when it ends."""
    connection.settimeout(0)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@contextlib.contextmanager
def report_errors_to_workers(cluster: Cluster) -> Iterator[None]:
    """Send a `UserError` raised by the chief in the block to the workers, which wait for it."""
    try:
        yield
    except UserError as error:
        if not cluster.is_single:
            _reject_workers(
                cluster, {"error": f"worker 0 ended: {error}", "status": error.exit_code}
            )
        raise


def _reject_workers(cluster: Cluster, message: dict[str, str | int | None]) -> None:
    """Send a message to each worker that connects within REJECT_SECONDS."""
    waiting, deadline = len(cluster.addresses) - 1, time.monotonic() + REJECT_SECONDS
    # If the port is taken, no worker can be notified; the original error matters more.
    with contextlib.suppress(UserError), _listen(cluster) as server:
        while waiting and time.monotonic() < deadline:
            with contextlib.suppress(OSError), server.accept()[0] as connection:
                _send([connection], message)
                waiting -= 1


def _send(connections: Iterable[socket.socket], message: dict[str, str | int | None]) -> None:
    for connection in connections:
        with contextlib.suppress(OSError):  # the worker has ended; TensorFlow will notice
            connection.sendall(json.dumps(message).encode() + b"\n")


def _register_with_chief(
    cluster: Cluster, common: Common, get_seconds_left: Callable[[], float]
) -> None:
    """As a worker, register with the chief as soon as it listens, and wait for its reply."""
    host, _, port = cluster.addresses[0].rpartition(":")
    request = {"rank": cluster.rank, "workers": len(cluster.addresses), **common}
    while get_seconds_left() > 0:
        try:
            with socket.create_connection(
                (host.strip("[]"), int(port)), timeout=POLL_SECONDS
            ) as connection:
                connection.sendall(json.dumps(request).encode() + b"\n")
                reply = _wait_for_reply(connection, get_seconds_left)
        except (OSError, ValueError):  # the chief does not listen yet, or has ended
            time.sleep(POLL_SECONDS)
            continue
        if reply["error"]:
            error = UserError(reply["error"])
            error.exit_code = reply["status"]
            raise error
        return
    raise WorkerLostError(
        f"worker 0 ({cluster.addresses[0]}) did not reply in time; start all workers again with"
        " the same commands"
    )


def _wait_for_reply(
    connection: socket.socket, get_seconds_left: Callable[[], float]
) -> dict[str, Any]:
    while get_seconds_left() > 0:
        with contextlib.suppress(TimeoutError):
            return _receive(connection)
    raise TimeoutError


def _receive(connection: socket.socket) -> dict[str, Any]:
    """Return the message that a connection sends.

    Raises:
        ValueError: it is not a JSON object.
        TimeoutError: nothing arrives within POLL_SECONDS.
    """
    connection.settimeout(POLL_SECONDS)
    with connection.makefile("rb") as stream:
        message = json.loads(stream.readline(MAX_MESSAGE))
    if not isinstance(message, dict):
        raise ValueError(message)
    return message
