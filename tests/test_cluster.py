"""Which processes train together: from the command line, TF_CONFIG and Slurm."""

import json

import pytest
from experiments import experiment

from imgcls.distributed.cluster import (
    SINGLE_PROCESS,
    Cluster,
    expand_counts,
    expand_hosts,
    find_cluster,
    read_cluster,
)
from imgcls.errors import UserError

SPREAD = "train.strategy={name: multi_worker}"


def slurm(**changes):
    return {
        "SLURM_PROCID": "3",
        "SLURM_JOB_ID": "40123",
        "SLURM_STEP_NODELIST": "node[09-10]",
        "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
        "SLURMD_NODENAME": "node10",
        **changes,
    }


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("alone", ["alone"]),
        ("node[01-03,7],gpu1", ["node01", "node02", "node03", "node7", "gpu1"]),
        ("a[1-2]b[3-4].cluster", ["a1b3.cluster", "a1b4.cluster", "a2b3.cluster", "a2b4.cluster"]),
        ("n[098-101]", ["n098", "n099", "n100", "n101"]),
        ("gpu-a,gpu-b", ["gpu-a", "gpu-b"]),
    ],
)
def test_a_node_list_names_every_host_with_its_leading_zeros(text, hosts):
    assert expand_hosts(text) == hosts


@pytest.mark.parametrize(
    "text", ["", "node[1-", "node[a-b]", "a b", "node]1[", "node[-]", "node[1,]"]
)
def test_a_broken_node_list_is_refused(text):
    with pytest.raises(UserError, match=r"the node list .* cannot be read"):
        expand_hosts(text)


def test_tasks_per_node_are_repeated_as_slurm_writes_them():
    assert expand_counts("2(x3),1") == [2, 2, 2, 1]


@pytest.mark.parametrize("text", ["", "2x3", "0", "2(x0)", "1,,1"])
def test_tasks_per_node_that_are_no_such_list_or_none_at_all_are_refused(text):
    with pytest.raises(UserError, match=r"cannot be read; expected something like 2\(x3\),1"):
        expand_counts(text)


def test_slurms_ranks_follow_the_nodes_and_ports_follow_the_job():
    assert read_cluster(None, None, slurm()) == Cluster(
        ("node09:24123", "node09:24124", "node10:24123", "node10:24124"), 3
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"SLURMD_NODENAME": "node09"},
            "rank 3 runs on node09, not on node10; use srun --distribution=block",
        ),
        (
            {"SLURM_STEP_NODELIST": ""},
            "none of SLURM_STEP_NODELIST, SLURM_JOB_NODELIST, SLURM_NODELIST is",
        ),
        ({"SLURM_STEP_TASKS_PER_NODE": "4"}, "Slurm names 2 nodes, but tasks for 1"),
        ({"SLURM_PROCID": "a"}, "Slurm's variables hold 'a' where a number belongs"),
        ({"SLURM_JOB_ID": "x"}, "Slurm's variables hold 'x' where a number belongs"),
        ({"SLURM_STEP_NODELIST": "node[3-1]"}, "the range 3-1 of the node list runs backwards"),
        ({"SLURM_PROCID": "9"}, "the rank is 9, but 4 workers have ranks 0 to 3"),
    ],
)
def test_slurm_variables_that_do_not_fit_are_named(changes, message):
    with pytest.raises(UserError, match=message):
        read_cluster(None, None, slurm(**changes))


def test_tf_config_gives_workers_and_rank_and_its_chief_is_rank_0():
    def config(**content):
        return {"TF_CONFIG": json.dumps(content)}

    two = {"worker": ["a:1", "b:2"]}
    assert read_cluster(
        None, None, config(cluster=two, task={"type": "worker", "index": 1})
    ) == Cluster(("a:1", "b:2"), 1)
    led = {"chief": ["c:3"], **two}
    assert read_cluster(
        None, None, config(cluster=led, task={"type": "worker", "index": 1})
    ) == Cluster(("c:3", "a:1", "b:2"), 2)
    assert read_cluster(
        None, None, config(cluster=led, task={"type": "chief", "index": 0})
    ).is_chief


@pytest.mark.parametrize(
    "text",
    [
        '{"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}',
        "{",
        "[]",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {}, "task": {"type": "ps", "index": 0}}',
    ],
)
def test_a_broken_tf_config_is_refused_with_an_example(text):
    with pytest.raises(UserError, match=r"TF_CONFIG is wrong .* it must look like"):
        read_cluster(None, None, {"TF_CONFIG": text})


def test_the_command_line_goes_before_tf_config_before_slurm():
    environment = {
        "TF_CONFIG": json.dumps(
            {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}
        ),
        **slurm(),
    }
    assert read_cluster("x:1,y:2", 1, environment) == Cluster(("x:1", "y:2"), 1)
    assert read_cluster(None, None, environment) == Cluster(("a:1",), 0)


@pytest.mark.parametrize(
    ("workers", "rank", "message"),
    [
        ("a:1,b", 0, "must be HOST:PORT; got 'b'"),
        ("a:1,a:1", 0, "the same address"),
        ("a:1,b:1", 2, "the rank is 2"),
        ("a:1", None, "belong together"),
        (None, 0, "belong together"),
        (None, None, "does not know its workers; give each process --workers"),
    ],
)
def test_a_wrong_description_of_the_workers_is_refused(workers, rank, message):
    with pytest.raises(UserError, match=message):
        read_cluster(workers, rank, {})


def test_only_a_strategy_of_several_processes_asks_for_them_and_for_a_common_folder(
    workspace, monkeypatch
):
    monkeypatch.setenv("SLURM_PROCID", "0")  # inside any Slurm job
    assert find_cluster(experiment(workspace), None, None, None) is SINGLE_PROCESS
    with pytest.raises(
        UserError, match=r"for train\.strategy multi_worker; this experiment's is one_device"
    ):
        find_cluster(experiment(workspace), None, "a:1", 0)
    with pytest.raises(UserError, match="needs --run DIR, the same for all workers"):
        find_cluster(experiment(workspace, SPREAD), None, "a:1", 0)
    assert find_cluster(experiment(workspace, SPREAD), workspace / "run", "a:1", 0) == Cluster(
        ("a:1",), 0
    )
