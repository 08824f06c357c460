"""Creates or opens the study of a search, and refuses that of another one. Light zone.

The study keeps what it is of: the experiment, the search, the data, and Optuna's version. Optuna
itself would go on with another direction, or other values, without a word.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imgcls.config import Experiment
from imgcls.errors import UserError
from imgcls.experiment_file import flatten
from imgcls.io import files
from imgcls.store.manifest import DataDescription
from imgcls.tune_config import Tune
from imgcls.tuning import database, proposals, space
from imgcls.tuning.folder import StudyFolder
from imgcls.tuning.leases import GRACE, Leases
from imgcls.tuning.space import SearchSpace

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

IDENTITY = "imgcls"
"""The attribute of a study that says what it is of."""
WITHDRAWN = "withdrawn"
"""The attribute of a trial that two commands asked for at once, where only one was left to do."""
REASON, VALUES, STDS, TIME = "reason", "values", "stds", "seconds"
"""Attributes of a trial: why it failed, its values by run, their standard deviations, its time."""
_SPENT = "spent_by_"
"""What the attributes of a study begin with that have the seconds each command worked on it."""


@dataclass(frozen=True)
class OpenStudy:
    """A study that this command works on.

    Attributes:
        data: that all trials are trained on.
        url: of its database.
        fixed: the proposals of its first trials.
    """

    experiment: Experiment
    tune: Tune
    data: DataDescription
    space: SearchSpace
    folder: StudyFolder
    url: str
    storage: "RDBStorage"
    study: "Study"
    leases: Leases
    fixed: list[dict[str, Any]]

    @property
    def count(self) -> int | None:
        """The number of trials; None if only the time is limited."""
        limits = [self.tune.trials] if self.tune.trials is not None else []
        limits += [len(self.fixed)] if self.tune.sampler.has_end else []
        return min(limits) if limits else None

    def close(self) -> None:
        """Close the connections to the database."""
        self.storage.remove_session()
        database.get_engine(self.storage).dispose()

    def list_trials(self) -> "list[FrozenTrial]":
        """Return the trials that count, by number."""
        trials = self.study.get_trials(deepcopy=False)
        return [each for each in trials if WITHDRAWN not in each.user_attrs]

    def count_spent(self) -> float:
        """Return the seconds that all commands together worked on the study."""
        attributes = self.study.user_attrs
        return sum(value for name, value in attributes.items() if name.startswith(_SPENT))

    def record_spent(self, seconds: float) -> None:
        """Record for how long this command has worked on the study."""
        self.study.set_user_attr(f"{_SPENT}{self.leases.tuner}", round(seconds, 1))


def open_study(
    experiment: Experiment,
    tune: Tune,
    data: DataDescription,
    folder: StudyFolder,
    storage: str | None,
    grace: float = GRACE,
) -> OpenStudy:
    """Create a study, or open the one that the folder and the database have.

    Args:
        data: that all trials are trained on.
        storage: the address of a server; None for SQLite in the folder.
        grace: as for `Leases`.

    Raises:
        UserError: it is of another search, the folder has other files, or the database cannot be
            reached.
    """
    database.require_optuna()
    url = database.make_url(folder, storage)
    _require_own_folder(folder)
    with files.explain_errors(folder.folder):
        folder.folder.mkdir(parents=True, exist_ok=True)
    found = space.make_space(experiment, tune)
    with files.hold_lock(folder.lock_file):
        opened = database.open_storage(url)
        with database.explain_errors(url):
            study = _create_or_load(experiment, tune, found, opened, folder)
            leases = Leases(database.get_engine(opened), study.study_name, folder, grace)
            leases.create_table()
            identity = make_identity(experiment, tune, data)
            _require_same(study, identity, folder)
        if not folder.experiment_file.exists():
            files.write_text(folder.experiment_file, experiment.to_yaml())
    fixed = proposals.list_fixed(tune, found)
    return OpenStudy(experiment, tune, data, found, folder, url, opened, study, leases, fixed)


def _create_or_load(
    experiment: Experiment, tune: Tune, found: SearchSpace, storage: Any, folder: StudyFolder
) -> "Study":
    import optuna

    return optuna.create_study(
        storage=storage,
        study_name=f"{experiment.name}/{folder.folder.name}",
        directions=list(tune.objective.values()),
        sampler=proposals.make_sampler(experiment, tune, found),
        pruner=proposals.make_pruner(experiment, tune),
        load_if_exists=True,
    )


def _require_own_folder(folder: StudyFolder) -> None:
    """Check that a folder is that of a study, empty, or one in which its creation was interrupted.

    Raises:
        UserError: it has other files.
    """
    path = folder.folder
    if folder.experiment_file.exists() or not path.exists():
        return
    own = {folder.database_file.name, f"{folder.database_file.name}-journal"}
    if not path.is_dir() or any(
        each.name not in own and not each.name.startswith(".") for each in path.iterdir()
    ):
        raise UserError(f"--study {path} exists, but is not a study; choose a new or empty folder")


def make_identity(experiment: Experiment, tune: Tune, data: DataDescription) -> dict[str, Any]:
    """Return what a study is of; it cannot change while the study goes on."""
    import optuna

    return {
        "experiment": flatten(experiment.identity()),
        "tune": tune.describe_search(),
        "data": {"fingerprint": data.fingerprint, "split": data.split_sha256},
        "optuna": optuna.__version__,
    }


def _require_same(study: "Study", identity: dict[str, Any], folder: StudyFolder) -> None:
    """Record what a new study is of; check it for one that goes on.

    Raises:
        UserError: it is of another search; the error lists what differs.
    """
    recorded = study.user_attrs.get(IDENTITY)
    if recorded is None:
        study.set_user_attr(IDENTITY, identity)
        recorded = study.user_attrs[IDENTITY]  # of another host, if that was quicker
    there, here = flatten(recorded), flatten(identity)
    missing = object()
    keys = [key for key in {**there, **here} if there.get(key, missing) != here.get(key, missing)]
    if not keys:
        return
    differences = [
        f"  {key.removeprefix('experiment.')}: {_show(there, key)} there, {_show(here, key)} here"
        for key in keys
    ]
    title = f"--study {folder.folder} is of another search; choose another folder. They differ in"
    raise UserError("\n".join([title, *differences]))


def _show(values: dict[str, Any], key: str) -> str:
    return repr(values[key]) if key in values else "not given"


def is_same(folder: StudyFolder, experiment: Experiment) -> bool:
    """Return whether a study in a folder is of an experiment and its search, by its files alone."""
    from imgcls.experiment_file import read_experiment

    found = read_experiment(folder.experiment_file)
    if found.tune is None or experiment.tune is None:
        return False
    same_search = found.tune.describe_search() == experiment.tune.describe_search()
    return same_search and found.identity() == experiment.identity()
