"""The processes of a cluster meet, compare plans and start together, or all learn what is wrong."""

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
from imgcls.distributed.rendezvous import explain_to_workers, join_workers
from imgcls.errors import DataError, Interrupted, UserError, WorkerLostError
from imgcls.io.signals import StopRequest
from imgcls.run import Run
from imgcls.store.lookup import find_store

PLANS = {"experiment": "e", "data": "d"}


def outcomes(clusters, plans=None, patience=5.0, stopping=lambda: None):
    """Let processes, here threads, meet; return by rank what each met with: None, or an error."""
    return results(
        [
            partial(join_workers, cluster, plans[number] if plans else PLANS, stopping, patience)
            for number, cluster in enumerate(clusters)
        ]
    )


def results(calls):
    """Call functions at the same time; return what each returns, or its error for the user."""
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
def test_a_process_that_is_alone_neither_waits_for_others_nor_explains_itself_to_them(cluster):
    assert cluster.is_single
    join_workers(cluster, PLANS, lambda: None, patience=0)
    with pytest.raises(DataError, match="no data"), explain_to_workers(cluster):
        raise DataError("no data")


def test_three_processes_with_the_same_plans_start_together_and_leave_their_ports_free():
    addresses = free_addresses(3)
    assert outcomes([Cluster(addresses, rank) for rank in range(3)]) == [None] * 3
    for address in addresses:
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(("127.0.0.1", int(address.split(":")[1])))


def test_all_learn_that_plans_differ_and_in_what():
    addresses = free_addresses(2)
    first, second = outcomes(
        [Cluster(addresses, rank) for rank in range(2)], [PLANS, {**PLANS, "data": "other"}]
    )
    assert (
        str(first)
        == str(second)
        == "worker 1 does not have the same data as worker 0; start all with the same command,"
        " files and versions"
    )
    assert (first.exit_code, second.exit_code) == (2, 2)


def test_workers_whose_stores_are_split_otherwise_are_refused(digits):
    """The same store under the same name can be split otherwise where another state of the data was
    prepared before.
    """
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


def test_two_processes_of_one_rank_are_refused():
    addresses = free_addresses(3)
    # The third process claims rank 1 too; its own port is what tells them apart here.
    clusters = [
        Cluster(addresses, 0),
        Cluster(addresses, 1),
        Cluster((addresses[0], addresses[2], addresses[1]), 1),
    ]
    found = outcomes(clusters, patience=3)
    assert "two workers have the rank 1" in str(found[0])


@pytest.mark.parametrize(
    ("rank", "message"),
    [
        (0, r"worker 1 \(127.* did not come in time"),
        (1, r"worker 0 \(127.* did not answer in time"),
    ],
)
def test_a_process_whose_partner_does_not_come_gives_up_and_says_who(rank, message):
    with pytest.raises(WorkerLostError, match=message) as error:
        join_workers(Cluster(free_addresses(2), rank), PLANS, lambda: None, patience=0.5)
    assert error.value.exit_code == 75


def test_when_one_of_three_does_not_come_the_other_two_end_with_status_75():
    addresses = free_addresses(3)
    found = outcomes([Cluster(addresses, 0), Cluster(addresses, 1)], patience=1.5)
    assert [error.exit_code for error in found] == [75, 75]
    assert any(f"worker 2 ({addresses[2]}) did not come in time" in str(error) for error in found)


def test_a_worker_that_left_and_came_again_is_taken_for_itself():
    addresses = free_addresses(3)
    left = threading.Event()

    def leaves_and_returns():
        with pytest.raises(Interrupted):
            join_workers(Cluster(addresses, 1), PLANS, lambda: "SIGTERM" if left.is_set() else None)
        join_workers(Cluster(addresses, 1), PLANS, lambda: None, 10)

    threads = [
        threading.Thread(target=leaves_and_returns),
        threading.Thread(
            target=lambda: (
                time.sleep(2.5),
                join_workers(Cluster(addresses, 2), PLANS, lambda: None, 10),
            )
        ),
    ]
    for thread in threads:
        thread.start()
    threading.Timer(1.0, left.set).start()
    join_workers(Cluster(addresses, 0), PLANS, lambda: None, 10)
    for thread in threads:
        thread.join()


def test_where_the_first_process_refuses_to_train_the_others_learn_why():
    addresses = free_addresses(2)
    found = []

    def refuse():
        with explain_to_workers(Cluster(addresses, 0)):
            raise DataError("no data")

    def follow():
        try:
            join_workers(Cluster(addresses, 1), PLANS, lambda: None, 10)
        except UserError as error:
            found.append(error)

    thread = threading.Thread(target=follow)
    thread.start()
    with pytest.raises(DataError, match="no data"):
        refuse()
    thread.join()
    assert (str(found[0]), found[0].exit_code) == ("worker 0 ended: no data", 3)


def test_a_worker_whose_words_come_late_is_not_lost():
    addresses = free_addresses(2)
    host, port = addresses[0].split(":")

    def silent_first():
        for _ in range(100):
            try:
                with socket.create_connection((host, int(port))):
                    time.sleep(0.5)  # longer than the first one listens to a connection
                break
            except OSError:
                time.sleep(0.02)
        else:
            raise TimeoutError("the first worker never listened")
        join_workers(Cluster(addresses, 1), PLANS, lambda: None, 5)

    late = threading.Thread(target=silent_first)
    late.start()
    join_workers(Cluster(addresses, 0), PLANS, lambda: None, 10)
    late.join()


def test_a_signal_ends_the_waiting():
    with pytest.raises(Interrupted, match="SIGTERM while waiting for the other workers"):
        join_workers(Cluster(free_addresses(2), 0), PLANS, lambda: "SIGTERM")


def test_a_taken_port_is_named():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(
            UserError, match=f"worker 0 cannot listen on {taken} .* choose a free port"
        ):
            join_workers(Cluster((taken, "127.0.0.1:1"), 0), PLANS, lambda: None)


def test_a_stranger_on_the_port_is_ignored():
    addresses = free_addresses(2)
    host, port = addresses[0].split(":")

    def disturb():
        for words in (
            b"GET / HTTP/1.1\r\n\r\n",
            json.dumps([1]).encode() + b"\n",
            b'{"rank": 1}\n',
        ):
            for _ in range(50):
                try:
                    with socket.create_connection((host, int(port))) as connection:
                        connection.sendall(words)
                    break
                except OSError:
                    time.sleep(0.02)
            else:
                raise TimeoutError("the first worker never listened")

    late = threading.Thread(
        target=lambda: (disturb(), join_workers(Cluster(addresses, 1), PLANS, lambda: None))
    )
    late.start()
    join_workers(Cluster(addresses, 0), PLANS, lambda: None, 10)
    late.join()
