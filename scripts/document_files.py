"""Writes the tables of keys in docs/files.md from the pydantic models of the files.

Run `python scripts/document_files.py`. A test fails if the page is out of date.
"""

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from imgcls.comparison.record import Comparison
from imgcls.compression.record import Compression
from imgcls.compression.table_record import CompressionTable
from imgcls.environment import Environment
from imgcls.evaluation.embedding import EmbeddingArrays
from imgcls.evaluation.families import FamilyEvaluation, FamilySummary
from imgcls.evaluation.image_results import ImageResult
from imgcls.evaluation.predictions import PredictionArrays
from imgcls.evaluation.record import Evaluation
from imgcls.evaluation.robustness_record import Robustness
from imgcls.evaluation.sample import SampleArrays
from imgcls.explanation.record import Importance, MapArrays, MethodScores
from imgcls.export.record import ExportComparison, ExportMetadata
from imgcls.family import FamilyRecord
from imgcls.io.array_records import ArrayRecord, find_array
from imgcls.io.partial import Origin
from imgcls.io.records import Record
from imgcls.rehearsal.learning_rate_test import LearningRateTest
from imgcls.store.manifest import DataDescription, Manifest
from imgcls.store.split_file import SplitArrays
from imgcls.training.accumulation_request import RequestedAccumulation
from imgcls.training.history import EpochLog
from imgcls.training.model_description import ModelDescription
from imgcls.training.plan import Plan
from imgcls.training.reproduction import Reproduction
from imgcls.training.status import Status
from imgcls.training.teacher import TeacherRecord
from imgcls.transfer.record import InitialWeights, LinearProbe
from imgcls.tuning.objective import TrialCost
from imgcls.tuning.record import StudyRecord

PAGE = Path(__file__).parent.parent / "docs" / "files.md"
START, END = "<!-- From the models, by `make docs`: -->\n", "<!-- End. -->\n"

FILES: dict[str, type[Record]] = {
    "`status.json` of a run": Status,
    "`data.json` of a run": DataDescription,
    "`environment.json` of a run": Environment,
    "A line of `log.jsonl`": EpochLog,
    "`plan.json` of a run with `train.budget`": Plan,
    "`reproduction.json` of a run": Reproduction,
    "`weights.json` of a run": InitialWeights,
    "`linear_probe.json` of a run": LinearProbe,
    "`teacher.json` of a run with `train.distillation`": TeacherRecord,
    "`imgcls.json` in `model.keras`": ModelDescription,
    "`compression.json` of a run": Compression,
    "`compression_table.json` of a run": CompressionTable,
    "`sample.npz` of a run": SampleArrays,
    "`metrics.json` of an evaluation": Evaluation,
    "`predictions.npz` of an evaluation": PredictionArrays,
    "A line of `images.jsonl` of an evaluation": ImageResult,
    "`embedding.npz` of an evaluation with `evaluate.embedding`": EmbeddingArrays,
    "`corruptions.json` of an evaluation": Robustness,
    "`maps.npz` of an explanation": MapArrays,
    "`scores.json` of an explanation": MethodScores,
    "`importance.json` of an explanation": Importance,
    "`metadata.json` of an export": ExportMetadata,
    "`comparison.json` of an export": ExportComparison,
    "`family.json` of a family": FamilyRecord,
    "`summary.json` of a family": FamilySummary,
    "`spread.json` of an evaluation of a family": FamilyEvaluation,
    "`comparison.json` of a comparison": Comparison,
    "`learning_rate.json` of a learning-rate range test": LearningRateTest,
    "`study.json` of a study": StudyRecord,
    "`trials/<number>.cost.json` of a study": TrialCost,
    "`checkpoint/accumulation_steps.json` of a run": RequestedAccumulation,
    "`manifest.json` of a store": Manifest,
    "`splits/<key>.npz` of a store": SplitArrays,
    "`.<name>.part.json` beside a download": Origin,
}
"""The files, each with its model."""


def make_tables() -> str:
    """Return a heading and a table for each file."""
    return "\n".join(_make_table(title, model) for title, model in FILES.items())


def _make_table(title: str, model: type[Record]) -> str:
    second = "array" if issubclass(model, ArrayRecord) else "key"
    lines = [f"| `{name}` | {' '.join(text.split())} |" for name, text in _list_rows(model, "")]
    return "\n".join([f"### {title}\n", f"| {second} | meaning |", "|---|---|", *lines, ""])


def _list_rows(model: type[Record], prefix: str) -> Iterator[tuple[str, str]]:
    """Yield each key with its meaning; keys of nested objects follow the key of the object."""
    for name, field in model.model_fields.items():
        text = field.description or ""
        if issubclass(model, ArrayRecord):
            text = f"{find_array(field.metadata, field.annotation)}: {text}"
        yield prefix + name, text
        for inner, path in _find_records(field.annotation, ""):
            if inner not in model.__mro__:  # earlier starts have the same keys as the last one
                yield from _list_rows(inner, f"{prefix}{name}{path}.")


def _find_records(annotation: Any, path: str) -> Iterator[tuple[type[Record], str]]:
    """Yield the records in an annotation with their paths: `[]` in lists, `.<key>` in mappings."""
    if isinstance(annotation, type) and issubclass(annotation, Record):
        yield annotation, path
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is list:
        yield from _find_records(inner[0], f"{path}[]")
    elif origin is dict:
        yield from _find_records(inner[1], f"{path}.<key>")
    elif origin in (Union, types.UnionType):
        for each in inner:
            yield from _find_records(each, path)


def insert_tables(page: str) -> str:
    """Return the page with tables of the current models."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{make_tables()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(insert_tables(PAGE.read_text()))
