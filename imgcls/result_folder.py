"""Folders with evaluations and figures: of a run, a family of runs, or an exported artifact. Light
zone.
"""

from dataclasses import dataclass
from pathlib import Path

from imgcls.evaluation.record import Evaluation
from imgcls.evaluation.robustness_record import Robustness
from imgcls.io.records import read_record


@dataclass(frozen=True)
class ResultFolder:
    """A folder with evaluations and figures: of a run, or of a family of runs."""

    folder: Path

    def predictions_file(self, split: str, tta: str | None = None) -> Path:
        """Predicted probabilities, labels and ids of a split; or those of a method of `tta`."""
        name = f"predictions-{tta}" if tta else "predictions"
        return self.folder / "evaluation" / split / f"{name}.npz"

    def metrics_file(self, split: str) -> Path:
        """All metrics of a split."""
        return self.folder / "evaluation" / split / "metrics.json"

    def report_file(self, split: str) -> Path:
        """The metrics as readable text."""
        return self.folder / "evaluation" / split / "report.txt"

    def image_results_file(self, split: str, suffix: str) -> Path:
        """The results of every image of a split; the suffix is csv or jsonl."""
        return self.folder / "evaluation" / split / f"images.{suffix}"

    def embedding_file(self, split: str) -> Path:
        """A map of images by their features."""
        return self.folder / "evaluation" / split / "embedding.npz"

    def robustness_file(self, split: str) -> Path:
        """The metrics under corruptions."""
        return self.folder / "evaluation" / split / "corruptions.json"

    def robustness_report_file(self, split: str) -> Path:
        """The metrics under corruptions as readable text."""
        return self.folder / "evaluation" / split / "corruptions.txt"

    def figure_file(self, name: str, suffix: str = "png") -> Path:
        """The image of a figure; the suffix is png or svg."""
        return self.folder / "figures" / f"{name}.{suffix}"

    @property
    def explanations_folder(self) -> Path:
        """A folder for each explained split, as `imgcls.explanation.folder` describes."""
        return self.folder / "explanations"

    @property
    def log_table_file(self) -> Path:
        """The log of a run as CSV."""
        return self.folder / "log.csv"

    @property
    def events_file(self) -> Path:
        """The log of a run for TensorBoard, with `train.tensorboard`."""
        return self.folder / "tensorboard" / "events.out.tfevents.imgcls"

    @property
    def report_page(self) -> Path:
        """A self-contained page with all figures and metrics."""
        return self.folder / "figures" / "report.html"

    @property
    def overview_page(self) -> Path:
        """A page with all runs below the folder."""
        return self.folder / "index.html"

    def read_evaluation(self, split: str) -> Evaluation:
        """Return the metrics of a split.

        Raises:
            DataError: metrics.json is missing or damaged.
        """
        return read_record(self.metrics_file(split), Evaluation, self.get_evaluation_advice(split))

    def read_robustness(self, split: str) -> Robustness:
        """Return the metrics under corruptions.

        Raises:
            DataError: corruptions.json is missing or damaged.
        """
        advice = f"{self.get_evaluation_advice(split).removesuffix(' again')} --corruptions` again"
        return read_record(self.robustness_file(split), Robustness, advice)

    def get_evaluation_advice(self, split: str) -> str:
        """Return what to do if a file of an evaluation is damaged, for messages."""
        return f"run `imgcls eval {self.folder} --split {split}` again"
