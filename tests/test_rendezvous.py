"""The rendezvous: all workers start together, or all of them learn what is wrong."""

import json
import socket
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from experiments import free_addresses

from imgcls.distributed.cluster import SINGLE_PROCESS, Cluster
from imgcls.distributed.rendezvous import report_errors_to_workers, wait_for_workers
from imgcls.errors import DataError, Interrupted, UserError, WorkerLostError
from imgcls.io.signals import StopRequest
from imgcls.run import Run
from imgcls.store.lookup import find_store

INVARIANTS = {"experiment": "e", "data": "d"}
PROPERTIES = {"keras": "3.15.1", "GPUs": "none"}


def outcomes(clusters, invariants=None, properties=None, timeout=5.0, get_stop_reason=lambda: None):
    """Run a rendezvous in threads; return the outcome of each by rank: None, or its error."""
    return results(
        [
            partial(
                wait_for_workers,
                cluster,
                invariants[number] if invariants else INVARIANTS,
                properties[number] if properties else PROPERTIES,
                get_stop_reason,
                timeout,
            )
            for number, cluster in enumerate(clusters)
        ]
    )


def results(calls):
    """Call functions at the same time; return what each returns, or its `UserError`."""
    found = {}

    def run(number, call):
        try:
            found[number] = call()
        except UserError as error:
            found[number] = error

    threads = [threading.Thread(target=run, args=each) for each in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[number] for number in range(len(calls))]


@pytest.mark.parametrize(
    "cluster", [SINGLE_PROCESS, Cluster(("127.0.0.1:1",), 0)], ids=["no cluster", "one worker"]
)
def test_a_single_process_neither_waits_nor_reports_its_errors(cluster):
    assert cluster.is_single
    wait_for_workers(cluster, INVARIANTS, PROPERTIES, lambda: None, timeout=0)
    with pytest.raises(DataError, match="no data"), report_errors_to_workers(cluster):
        raise DataError("no data")


def test_three_workers_with_equal_invariants_start_together_and_free_their_ports():
    addresses = free_addresses(3)
    assert outcomes([Cluster(addresses, rank) for rank in range(3)]) == [None] * 3
    for address in addresses:
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(("127.0.0.1", int(address.split(":")[1])))


def test_all_workers_learn_which_invariant_differs():
    addresses = free_addresses(2)
    first, second = outcomes(
        [Cluster(addresses, rank) for rank in range(2)],
        [INVARIANTS, {**INVARIANTS, "data": "other"}],
    )
    assert (
        str(first)
        == str(second)
        == "worker 1 does not have the same data as worker 0; start all with the same command"
        " and files"
    )
    assert (first.exit_code, second.exit_code) == (2, 2)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("NCCL_ALGO", "Ring", "NCCL_ALGO is not set on worker 0, but Ring on worker 1"),
        ("keras", "3.0.0", "keras is 3.15.1 on worker 0, but 3.0.0 on worker 1"),
        ("GPUs", "NVIDIA L4", "GPUs is none on worker 0, but NVIDIA L4 on worker 1"),
    ],
)
def test_all_workers_learn_the_values_of_a_property_that_differs(name, value, shown):
    addresses = free_addresses(2)
    found = outcomes(
        [Cluster(addresses, rank) for rank in range(2)],
        properties=[PROPERTIES, {**PROPERTIES, name: value}],
    )
    assert [str(error) for error in found] == [f"{shown}; make them the same on all workers"] * 2
    assert [error.exit_code for error in found] == [2, 2]


def test_long_values_are_compared_whole_and_fit_a_message():
    addresses = free_addresses(2)
    clusters = [Cluster(addresses, rank) for rank in range(2)]
    one = {f"XLA_{number}": "x" * 100_000 for number in range(50)}
    assert outcomes(clusters, properties=[one, dict(one)]) == [None, None]
    found = outcomes(clusters, properties=[one, {**one, "XLA_7": "x" * 99_999 + "y"}])
    assert str(found[0]) == str(found[1])
    assert str(found[0]).startswith("XLA_7 is xxx")
    assert len(str(found[0])) < 500


def test_workers_with_different_split_assignments_are_rejected(digits):
    """Equal stores can have different splits if an earlier state of the data was prepared first."""
    from imgcls.training import worker

    store, split = find_store(digits())
    addresses = free_addresses(2)
    begin = partial(worker.train_run, Run(Path("run")), digits(), store)
    calls = [
        partial(begin, each, StopRequest(), Cluster(addresses, rank))
        for rank, each in enumerate([split, replace(split, train=split.train[1:])])
    ]
    assert {str(error).split(";")[0] for error in results(calls)} == {
        "worker 1 does not have the same data as worker 0"
    }


def test_two_workers_with_the_same_rank_are_rejected():
    addresses = free_addresses(3)
    # The third worker claims rank 1 too; it has a port that is still free.
    clusters = [
        Cluster(addresses, 0),
        Cluster(addresses, 1),
        Cluster((addresses[0], addresses[2], addresses[1]), 1),
    ]
    found = outcomes(clusters, timeout=3)
    assert "two workers have rank 1" in str(found[0])


@pytest.mark.parametrize(
    ("rank", "message"),
    [
        (0, r"worker 1 \(127.* did not start in time"),
        (1, r"worker 0 \(127.* did not reply in time"),
    ],
)
def test_a_missing_worker_is_named_after_the_timeout(rank, message):
    with pytest.raises(WorkerLostError, match=message) as error:
        wait_for_workers(
            Cluster(free_addresses(2), rank), INVARIANTS, PROPERTIES, lambda: None, timeout=0.5
        )
    assert error.value.exit_code == 75


def test_when_one_of_three_workers_is_missing_the_others_end_with_exit_code_75():
    addresses = free_addresses(3)
    found = outcomes([Cluster(addresses, 0), Cluster(addresses, 1)], timeout=1.5)
    assert [error.exit_code for error in found] == [75, 75]
    assert any(f"worker 2 ({addresses[2]}) did not start in time" in str(error) for error in found)


def test_a_worker_that_was_stopped_can_register_again():
    addresses = free_addresses(3)
    stopped = threading.Event()

    def stop_and_start_again():
        with pytest.raises(Interrupted):
            wait_for_workers(
                Cluster(addresses, 1),
                INVARIANTS,
                PROPERTIES,
                lambda: "SIGTERM" if stopped.is_set() else None,
            )
        wait_for_workers(Cluster(addresses, 1), INVARIANTS, PROPERTIES, lambda: None, 10)

    threads = [
        threading.Thread(target=stop_and_start_again),
        threading.Thread(
            target=lambda: (
                time.sleep(2.5),
                wait_for_workers(Cluster(addresses, 2), INVARIANTS, PROPERTIES, lambda: None, 10),
            )
        ),
    ]
    for thread in threads:
        thread.start()
    threading.Timer(1.0, stopped.set).start()
    wait_for_workers(Cluster(addresses, 0), INVARIANTS, PROPERTIES, lambda: None, 10)
    for thread in threads:
        thread.join()


def test_an_error_of_the_chief_reaches_the_workers():
    addresses = free_addresses(2)
    found = []

    def run_chief():
        with report_errors_to_workers(Cluster(addresses, 0)):
            raise DataError("no data")

    def run_worker():
        try:
            wait_for_workers(Cluster(addresses, 1), INVARIANTS, PROPERTIES, lambda: None, 10)
        except UserError as error:
            found.append(error)

    thread = threading.Thread(target=run_worker)
    thread.start()
    with pytest.raises(DataError, match="no data"):
        run_chief()
    thread.join()
    assert (str(found[0]), found[0].exit_code) == ("worker 0 ended: no data", 3)


def test_a_worker_whose_request_is_late_can_try_again():
    addresses = free_addresses(2)
    host, port = addresses[0].split(":")

    def connect_without_a_request():
        for _ in range(100):
            try:
                with socket.create_connection((host, int(port))):
                    time.sleep(0.5)  # longer than the chief waits for a request
                break
            except OSError:
                time.sleep(0.02)
        else:
            raise TimeoutError("the chief never listened")
        wait_for_workers(Cluster(addresses, 1), INVARIANTS, PROPERTIES, lambda: None, 5)

    chief = partial(
        wait_for_workers, Cluster(addresses, 0), INVARIANTS, PROPERTIES, lambda: None, 10
    )
    assert results([chief, connect_without_a_request]) == [None, None]


def test_a_signal_ends_the_rendezvous():
    with pytest.raises(Interrupted, match="SIGTERM while waiting for the other workers"):
        wait_for_workers(Cluster(free_addresses(2), 0), INVARIANTS, PROPERTIES, lambda: "SIGTERM")


def test_a_port_in_use_is_named():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(
            UserError, match=f"worker 0 cannot listen on {taken} .* choose a free port"
        ):
            wait_for_workers(
                Cluster((taken, "127.0.0.1:1"), 0), INVARIANTS, PROPERTIES, lambda: None
            )


def test_other_clients_of_the_port_are_ignored():
    addresses = free_addresses(2)
    host, port = addresses[0].split(":")

    def send_garbage_first():
        for message in (
            b"GET / HTTP/1.1\r\n\r\n",
            json.dumps([1]).encode() + b"\n",
            b'{"rank": 1}\n',
        ):
            for _ in range(50):
                try:
                    with socket.create_connection((host, int(port))) as connection:
                        connection.sendall(message)
                    break
                except OSError:
                    time.sleep(0.02)
            else:
                raise TimeoutError("the chief never listened")

        wait_for_workers(Cluster(addresses, 1), INVARIANTS, PROPERTIES, lambda: None)

    chief = partial(
        wait_for_workers, Cluster(addresses, 0), INVARIANTS, PROPERTIES, lambda: None, 10
    )
    assert results([chief, send_garbage_first]) == [None, None]
