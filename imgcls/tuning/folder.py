"""The folder of a study: the only module that builds paths to its files. Light zone."""

from dataclasses import dataclass
from pathlib import Path

from imgcls.io import numbered_folders
from imgcls.run import RUNS

PREFIX = "study-"
"""What the names of the numbered folders of studies begin with."""


@dataclass(frozen=True)
class StudyFolder:
    """A folder with a study, the runs of its trials, and its results."""

    folder: Path

    @property
    def experiment_file(self) -> Path:
        """The experiment that is searched, with all defaults; written last when it is created."""
        return self.folder / "experiment.yaml"

    @property
    def database_file(self) -> Path:
        """The study as Optuna keeps it, in SQLite, unless another database is given."""
        return self.folder / "study.db"

    @property
    def record_file(self) -> Path:
        """The trials so far, for programs, figures and the page."""
        return self.folder / "study.json"

    @property
    def best_file(self) -> Path:
        """The experiment of the best trial."""
        return self.folder / "best.yaml"

    @property
    def page(self) -> Path:
        """A self-contained page with figures and all trials."""
        return self.folder / "study.html"

    @property
    def lock_file(self) -> Path:
        """Held while the study is created."""
        return self.folder / ".lock"

    def figure_file(self, name: str) -> Path:
        """The image of a figure."""
        return self.folder / "figures" / f"{name}.png"

    def trial_run(self, number: int) -> Path:
        """The run, or family of runs, of a trial."""
        return self.folder / "trials" / str(number)

    def trial_file(self, number: int) -> Path:
        """The experiment of a trial."""
        return self.folder / "trials" / f"{number}.yaml"

    def trial_log(self, number: int) -> Path:
        """What the last command of a trial printed on stderr."""
        return self.folder / "trials" / f"{number}.log"

    def cost_file(self, number: int) -> Path:
        """What the model of a trial costs, if that is an objective."""
        return self.folder / "trials" / f"{number}.cost.json"

    def tuner_lock(self, tuner: str) -> Path:
        """Held by a command while it works on the study."""
        return self.folder / ".tuners" / tuner

    def confirmation(self, name: str) -> Path:
        """A family, or the comparison, of a confirmation."""
        return self.folder / "confirm" / name


def list_studies(name: str) -> list[StudyFolder]:
    """Return the numbered studies of an experiment, oldest first."""
    folders = numbered_folders.list_numbered(RUNS / name, PREFIX)
    found = map(StudyFolder, folders)
    return [each for each in found if each.experiment_file.is_file()]


def make_next(name: str) -> StudyFolder:
    """Create the folder of the next study of an experiment."""
    return StudyFolder(numbered_folders.make_next(RUNS / name, PREFIX))
