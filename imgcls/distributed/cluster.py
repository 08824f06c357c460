"""The processes that train one model together: who they are, and which of them this one is. Light
zone.

Three sources, in this order: `--workers` and `--rank`; TF_CONFIG, TensorFlow's own variable; the
variables that Slurm's `srun` sets. TensorFlow's SlurmClusterResolver is of no use here: it calls
nvidia-smi and refuses jobs without a GPU.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imgcls.config import Experiment
from imgcls.errors import UserError

BASE_PORT = 20_000
PORTS = 12_000
"""Under Slurm a job's ports start at BASE_PORT plus its number modulo PORTS, so that jobs on one
host rarely meet; from 32768 on Linux gives ports away by itself."""

RANGE = r"\d+(?:-\d+)?"
NODES = rf"[^\s,\[\]]*(?:\[{RANGE}(?:,{RANGE})*\][^\s,\[\]]*)*"
"""One entry of a Slurm node list."""

HOW_TO_DESCRIBE = (
    "give each process --workers HOST:PORT,HOST:PORT,... (the same everywhere) and --rank N (from"
    " 0), or set TF_CONFIG, or start the processes with Slurm's srun"
)


@dataclass(frozen=True)
class Cluster:
    """The addresses of all worker processes, `host:port`, in the order of their ranks, and the rank
    of this one; `ALONE` has none.
    """

    addresses: tuple[str, ...]
    rank: int

    def __post_init__(self) -> None:
        wrong = [
            address
            for address in self.addresses
            if not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^\s:/]+):\d{1,5}", address)
        ]
        if wrong:
            raise UserError(
                f"a worker's address must be HOST:PORT; got {', '.join(map(repr, wrong))}"
            )
        if len(set(self.addresses)) < len(self.addresses):
            raise UserError(
                f"two workers have the same address: {', '.join(self.addresses)}; give each one a"
                " port of its own"
            )
        if not 0 <= self.rank < max(len(self.addresses), 1):
            raise UserError(
                f"the rank is {self.rank}, but {len(self.addresses)} workers have ranks 0 to"
                f" {len(self.addresses) - 1}"
            )

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes: rank 0."""
        return self.rank == 0

    @property
    def is_single(self) -> bool:
        """Whether no other process trains with this one."""
        return len(self.addresses) <= 1


SINGLE_PROCESS = Cluster((), 0)
"""The one process of a training that is not spread over several: nobody needs its address."""


def find_cluster(
    experiment: Experiment, folder: Path | None, workers: str | None, rank: int | None
) -> Cluster:
    """Return the processes that train the experiment together, as the command line, TF_CONFIG or
    Slurm say.

    Args:
        folder: the run folder that the command line names.
        workers: `host:port,host:port,...`, from the command line.
        rank: of this process, from the command line.

    Raises:
        UserError: the strategy needs to know them and does not, or has no use for them; or they
            would not meet in one run folder.
    """
    strategy = experiment.train.strategy
    if strategy.spans_processes:
        if folder is None:
            raise UserError(
                f"train.strategy {strategy.name} needs --run DIR, the same for all workers, on a"
                " disk that they share"
            )
        return read_cluster(workers, rank, os.environ)
    if workers is not None or rank is not None:
        raise UserError(
            "--workers and --rank are for train.strategy multi_worker; this experiment's is"
            f" {strategy.name}"
        )
    return SINGLE_PROCESS


def read_cluster(workers: str | None, rank: int | None, environment: Mapping[str, str]) -> Cluster:
    """Return the cluster that the command line or the environment variables describe.

    Raises:
        UserError: nothing describes a cluster, or what does is incomplete or wrong.
    """
    if (workers is None) != (rank is None):
        raise UserError(
            "--workers and --rank belong together; give both, or neither to use TF_CONFIG or"
            " Slurm's variables"
        )
    if workers is not None and rank is not None:
        return Cluster(tuple(workers.split(",")), rank)
    if environment.get("TF_CONFIG"):
        return _from_tf_config(environment["TF_CONFIG"])
    if environment.get("SLURM_PROCID"):
        return _from_slurm(environment)
    raise UserError(f"train.strategy multi_worker does not know its workers; {HOW_TO_DESCRIBE}")


def _from_tf_config(text: str) -> Cluster:
    """Read TF_CONFIG: a chief, where there is one, is rank 0."""
    try:
        config = json.loads(text)
        jobs, task = config["cluster"], (config["task"]["type"], int(config["task"]["index"]))
        members = [
            (job, index, address)
            for job in ("chief", "worker")
            for index, address in enumerate(jobs.get(job, []))
        ]
        if not all(isinstance(jobs.get(job, []), list) for job in ("chief", "worker")):
            raise ValueError("the addresses of a job must be a list")
        return Cluster(
            tuple(address for *_, address in members),
            [member[:2] for member in members].index(task),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise UserError(
            f'TF_CONFIG is wrong ({type(error).__name__}: {error}); it must look like {{"cluster":'
            ' {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}, and'
            " this process must be in it"
        ) from None


def _from_slurm(environment: Mapping[str, str]) -> Cluster:
    """Lay out the ranks as `srun --distribution=block` does, Slurm's default: node after node.

    Raises:
        UserError: a variable is missing, or the ranks are laid out otherwise.
    """

    def first_of(*names: str) -> str:
        for name in names:
            if environment.get(name):
                return environment[name]
        raise UserError(
            f"SLURM_PROCID is set, but none of {', '.join(names)} is; start the processes with"
            f" srun, or {HOW_TO_DESCRIBE}"
        )

    def number(text: str) -> int:
        if not text.isdecimal():
            raise UserError(
                f"Slurm's variables hold {text!r} where a number belongs; {HOW_TO_DESCRIBE}"
            )
        return int(text)

    hosts = expand_hosts(first_of("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"))
    tasks = expand_counts(first_of("SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"))
    if len(hosts) != len(tasks):
        raise UserError(
            f"Slurm names {len(hosts)} nodes, but tasks for {len(tasks)}; {HOW_TO_DESCRIBE}"
        )
    base = BASE_PORT + number(first_of("SLURM_JOB_ID", "SLURM_JOBID")) % PORTS
    places = [
        (host, index) for host, count in zip(hosts, tasks, strict=True) for index in range(count)
    ]
    cluster = Cluster(
        tuple(f"{host}:{base + index}" for host, index in places),
        number(environment["SLURM_PROCID"]),
    )
    here = environment.get("SLURMD_NODENAME")
    expected, _ = places[cluster.rank]
    if here and here != expected:
        raise UserError(
            f"rank {cluster.rank} runs on {here}, not on {expected}; use srun --distribution=block,"
            f" or {HOW_TO_DESCRIBE}"
        )
    return cluster


def expand_hosts(text: str) -> list[str]:
    """Return the hosts of a Slurm node list: `node[01-03,7],gpu1` names node01, node02, node03,
    node7 and gpu1.

    Raises:
        UserError: the text is not a node list.
    """
    if not re.fullmatch(f"{NODES}(,{NODES})*", text) or not text:
        raise UserError(
            f"the node list {text!r} cannot be read; expected something like node[01-03,7],gpu1"
        )
    return [
        host
        for each in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", text)
        for host in _expand_pattern(each)
    ]


def _expand_pattern(pattern: str) -> list[str]:
    """Return the hosts of one entry of a node list, whose brackets hold numbers and ranges; leading
    zeros stay.
    """
    before, bracket, rest = pattern.partition("[")
    if not bracket:
        return [pattern]
    inside, _, after = rest.partition("]")
    numbers = []
    for each in inside.split(","):
        low, _, high = each.partition("-")
        if high and int(high) < int(low):
            raise UserError(
                f"the range {each} of the node list runs backwards; expected something like"
                " node[01-03,7],gpu1"
            )
        numbers += [str(number).zfill(len(low)) for number in range(int(low), int(high or low) + 1)]
    return [f"{before}{number}{tail}" for number in numbers for tail in _expand_pattern(after)]


def expand_counts(text: str) -> list[int]:
    """Return the tasks of each node from Slurm's `2(x3),1`: 2, 2, 2 and 1.

    Raises:
        UserError: the text is not such a list.
    """
    entries = [re.fullmatch(r"([1-9]\d*)(?:\(x([1-9]\d*)\))?", each) for each in text.split(",")]
    if not all(entries):
        raise UserError(
            f"the tasks per node {text!r} cannot be read; expected something like 2(x3),1"
        )
    return [int(entry[1]) for entry in entries if entry for _ in range(int(entry[2] or 1))]
