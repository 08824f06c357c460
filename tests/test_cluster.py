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
from imgcls.verbs import train

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
def test_expanding_a_node_list_keeps_leading_zeros(text, hosts):
    assert expand_hosts(text) == hosts


@pytest.mark.parametrize(
    "text", ["", "node[1-", "node[a-b]", "a b", "node]1[", "node[-]", "node[1,]"]
)
def test_an_invalid_node_list_is_rejected(text):
    with pytest.raises(UserError, match="cannot parse Slurm's node list"):
        expand_hosts(text)


def test_task_counts_are_expanded():
    assert expand_counts("2(x3),1") == [2, 2, 2, 1]


@pytest.mark.parametrize("text", ["", "2x3", "0", "2(x0)", "1,,1"])
def test_invalid_task_counts_are_rejected(text):
    with pytest.raises(UserError, match=r"tasks per node .*; expected something like 2\(x3\),1"):
        expand_counts(text)


def test_slurm_ranks_go_node_by_node_and_ports_depend_on_the_job():
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
        ({"SLURM_STEP_TASKS_PER_NODE": "4"}, "Slurm lists 2 nodes, but task counts for 1"),
        ({"SLURM_PROCID": "a"}, "a Slurm variable must be a number; got 'a'"),
        ({"SLURM_JOB_ID": "x"}, "a Slurm variable must be a number; got 'x'"),
        ({"SLURM_STEP_NODELIST": "node[3-1]"}, "the range 3-1 in Slurm's node list is descending"),
        ({"SLURM_PROCID": "9"}, "the rank is 9, but 4 workers have ranks 0 to 3"),
    ],
)
def test_inconsistent_slurm_variables_are_explained(changes, message):
    with pytest.raises(UserError, match=message):
        read_cluster(None, None, slurm(**changes))


def test_the_chief_of_tf_config_has_rank_0():
    def config(**content):
        return {"TF_CONFIG": json.dumps(content)}

    two = {"worker": ["a:1", "b:2"]}
    assert read_cluster(
        None, None, config(cluster=two, task={"type": "worker", "index": 1})
    ) == Cluster(("a:1", "b:2"), 1)
    three = {"chief": ["c:3"], **two}
    assert read_cluster(
        None, None, config(cluster=three, task={"type": "worker", "index": 1})
    ) == Cluster(("c:3", "a:1", "b:2"), 2)
    assert read_cluster(
        None, None, config(cluster=three, task={"type": "chief", "index": 0})
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
def test_an_invalid_tf_config_is_rejected_with_an_example(text):
    with pytest.raises(UserError, match=r"TF_CONFIG is wrong .* it must look like"):
        read_cluster(None, None, {"TF_CONFIG": text})


def test_the_command_line_precedes_tf_config_which_precedes_slurm():
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
def test_invalid_workers_are_rejected(workers, rank, message):
    with pytest.raises(UserError, match=message):
        read_cluster(workers, rank, {})


def test_only_multi_worker_takes_workers_and_needs_a_run_folder(workspace, monkeypatch):
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


def test_a_python_caller_trains_with_the_cluster_of_the_environment(workspace, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.setenv("SLURM_PROCID", "1")
    with pytest.raises(UserError, match="SLURM_PROCID is set, but none of SLURM_STEP_NODELIST"):
        train.train(experiment(workspace, SPREAD), workspace / "run")
