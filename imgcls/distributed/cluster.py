"""The addresses of the processes that train one model, and the rank of this one. Light zone.

They are read from `--workers` and `--rank`, or else from TF_CONFIG, TensorFlow's environment
variable, or else from the variables that Slurm's `srun` sets. TensorFlow's SlurmClusterResolver is
not used, since it calls nvidia-smi and rejects jobs without a GPU.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imgcls.config import Experiment
from imgcls.errors import UserError

FIRST_PORT = 20_000
PORT_RANGE = 12_000
"""Under Slurm the first port of a job is FIRST_PORT + job ID modulo PORT_RANGE, so that jobs on one
host rarely collide. Ports from 32768 on are Linux's ephemeral ports.
"""

RANGE = r"\d+(?:-\d+)?"
NODES = rf"[^\s,\[\]]*(?:\[{RANGE}(?:,{RANGE})*\][^\s,\[\]]*)*"
"""One entry of a Slurm node list, such as `node[01-03,7]`."""

ADVICE = (
    "give each process --workers HOST:PORT,HOST:PORT,... (the same everywhere) and --rank N (from"
    " 0), or set TF_CONFIG, or start the processes with Slurm's srun"
)


@dataclass(frozen=True)
class Cluster:
    """The processes that train one model.

    Attributes:
        addresses: `host:port` of each process, by rank; empty for `SINGLE_PROCESS`.
        rank: of this process, from 0.
    """

    addresses: tuple[str, ...]
    rank: int

    def __post_init__(self) -> None:
        invalid = [
            address
            for address in self.addresses
            if not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^\s:/]+):\d{1,5}", address)
        ]
        if invalid:
            raise UserError(
                f"a worker's address must be HOST:PORT; got {', '.join(map(repr, invalid))}"
            )
        if len(set(self.addresses)) < len(self.addresses):
            raise UserError(
                f"two workers have the same address: {', '.join(self.addresses)}; give each a"
                " different port"
            )
        if not 0 <= self.rank < max(len(self.addresses), 1):
            raise UserError(
                f"the rank is {self.rank}, but {len(self.addresses)} workers have ranks 0 to"
                f" {len(self.addresses) - 1}"
            )

    @property
    def is_chief(self) -> bool:
        """Whether this process is rank 0, which writes the run folder."""
        return self.rank == 0

    @property
    def is_single(self) -> bool:
        """Whether this is the only process."""
        return len(self.addresses) <= 1


SINGLE_PROCESS = Cluster((), 0)
"""Training with one process, which needs no address."""


def find_cluster(
    experiment: Experiment,
    folder: Path | None,
    workers: str | None = None,
    rank: int | None = None,
) -> Cluster:
    """Return the cluster that trains an experiment: that of `read_cluster`, or `SINGLE_PROCESS`.

    Args:
        folder: the run folder given on the command line.
        workers: `host:port,host:port,...`, from the command line.
        rank: of this process, from the command line.

    Raises:
        UserError: the strategy spans processes, but the workers or the run folder are not given;
            or it does not, but they are.
    """
    strategy = experiment.train.strategy
    if strategy.spans_processes:
        if folder is None:
            raise UserError(
                f"train.strategy {strategy.name} needs --run DIR, the same for all workers, on a"
                " shared disk"
            )
        return read_cluster(workers, rank, os.environ)
    if workers is not None or rank is not None:
        raise UserError(
            "--workers and --rank are for train.strategy multi_worker; this experiment's is"
            f" {strategy.name}"
        )
    return SINGLE_PROCESS


def read_cluster(workers: str | None, rank: int | None, environment: Mapping[str, str]) -> Cluster:
    """Return the cluster given by the command line, or else by environment variables.

    Args:
        workers, rank: from the command line.
        environment: environment variables.

    Raises:
        UserError: no cluster is given, or its description is incomplete or wrong.
    """
    if (workers is None) != (rank is None):
        raise UserError(
            "--workers and --rank belong together; give both, or neither to use TF_CONFIG or"
            " Slurm's variables"
        )
    if workers is not None and rank is not None:
        return Cluster(tuple(workers.split(",")), rank)
    if environment.get("TF_CONFIG"):
        return _parse_tf_config(environment["TF_CONFIG"])
    if environment.get("SLURM_PROCID"):
        return _parse_slurm_variables(environment)
    raise UserError(f"train.strategy multi_worker does not know its workers; {ADVICE}")


def _parse_tf_config(text: str) -> Cluster:
    """Return the cluster of TF_CONFIG, in which a chief, if any, has rank 0."""
    try:
        config = json.loads(text)
        jobs, task = config["cluster"], (config["task"]["type"], int(config["task"]["index"]))
        tasks = [
            (job, index, address)
            for job in ("chief", "worker")
            for index, address in enumerate(jobs.get(job, []))
        ]
        if not all(isinstance(jobs.get(job, []), list) for job in ("chief", "worker")):
            raise ValueError("the addresses of a job must be a list")
        return Cluster(
            tuple(address for *_, address in tasks), [each[:2] for each in tasks].index(task)
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise UserError(
            f'TF_CONFIG is wrong ({type(error).__name__}: {error}); it must look like {{"cluster":'
            ' {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}, and'
            " this process must be in it"
        ) from None


def _parse_slurm_variables(environment: Mapping[str, str]) -> Cluster:
    """Return the cluster of a Slurm job step with block distribution, Slurm's default.

    Raises:
        UserError: a variable is missing or wrong, or the distribution is another.
    """

    def get_first(*names: str) -> str:
        for name in names:
            if environment.get(name):
                return environment[name]
        raise UserError(
            f"SLURM_PROCID is set, but none of {', '.join(names)} is; start the processes with"
            f" srun, or {ADVICE}"
        )

    def parse_number(text: str) -> int:
        if not text.isdecimal():
            raise UserError(f"a Slurm variable must be a number; got {text!r}; {ADVICE}")
        return int(text)

    hosts = expand_hosts(get_first("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"))
    counts = expand_counts(get_first("SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"))
    if len(hosts) != len(counts):
        raise UserError(
            f"Slurm lists {len(hosts)} nodes, but task counts for {len(counts)}; {ADVICE}"
        )
    job_id = parse_number(get_first("SLURM_JOB_ID", "SLURM_JOBID"))
    first_port = FIRST_PORT + job_id % PORT_RANGE
    tasks = [
        (host, index) for host, count in zip(hosts, counts, strict=True) for index in range(count)
    ]
    cluster = Cluster(
        tuple(f"{host}:{first_port + index}" for host, index in tasks),
        parse_number(environment["SLURM_PROCID"]),
    )
    host = environment.get("SLURMD_NODENAME")
    expected, _ = tasks[cluster.rank]
    if host and host != expected:
        raise UserError(
            f"rank {cluster.rank} runs on {host}, not on {expected}; use srun --distribution=block,"
            f" or {ADVICE}"
        )
    return cluster


def expand_hosts(text: str) -> list[str]:
    """Return the hosts of a Slurm node list.

    `node[01-03,7],gpu1` becomes node01, node02, node03, node7 and gpu1.

    Raises:
        UserError: the text is not a node list.
    """
    if not re.fullmatch(f"{NODES}(,{NODES})*", text) or not text:
        raise UserError(
            f"cannot parse Slurm's node list {text!r}; expected something like node[01-03,7],gpu1"
        )
    return [
        host
        for each in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", text)
        for host in _expand_pattern(each)
    ]


def _expand_pattern(pattern: str) -> list[str]:
    """Return the hosts of one entry of a node list, keeping leading zeros."""
    prefix, bracket, rest = pattern.partition("[")
    if not bracket:
        return [pattern]
    ranges, _, rest = rest.partition("]")
    numbers = []
    for each in ranges.split(","):
        low, _, high = each.partition("-")
        if high and int(high) < int(low):
            raise UserError(
                f"the range {each} in Slurm's node list is descending; expected something like"
                " node[01-03,7],gpu1"
            )
        numbers += [str(number).zfill(len(low)) for number in range(int(low), int(high or low) + 1)]
    return [f"{prefix}{number}{suffix}" for number in numbers for suffix in _expand_pattern(rest)]


def expand_counts(text: str) -> list[int]:
    """Return the number of tasks of each node; Slurm's `2(x3),1` becomes 2, 2, 2 and 1.

    Raises:
        UserError: the text is not a list of task counts.
    """
    entries = [re.fullmatch(r"([1-9]\d*)(?:\(x([1-9]\d*)\))?", each) for each in text.split(",")]
    if not all(entries):
        raise UserError(
            f"cannot parse Slurm's tasks per node {text!r}; expected something like 2(x3),1"
        )
    return [int(entry[1]) for entry in entries if entry for _ in range(int(entry[2] or 1))]
