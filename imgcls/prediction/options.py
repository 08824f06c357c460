"""What `imgcls predict` is asked for. Light zone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from imgcls import parts
from imgcls.config import Tta
from imgcls.errors import UserError

Format = Literal["table", "csv", "jsonl", "json", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)
SCORES = ("lac", "aps", "raps")
"""The kinds of prediction sets."""
FEATURE_ENDINGS = (".npz", ".parquet")


@dataclass(frozen=True)
class PredictOptions:
    """What to predict, and how to write it.

    Attributes:
        format: of the rows.
        output: the file to write them to; None for stdout.
        top_k: the number of classes that a row names, from the most probable one on.
        all_probabilities: whether a row has the probability of every class.
        threshold: a prediction of a lower probability is rejected; None for no such column.
        coverage: wanted of the prediction sets; None for no sets.
        score: the kind of sets.
        features: the file to write the features to; None for none.
        tta: the method of test-time augmentation; None for none.
        batch_size: images per step; None for that of the training.
    """

    format: Format = "table"
    output: Path | None = None
    top_k: int = 1
    all_probabilities: bool = False
    threshold: float | None = None
    coverage: float | None = None
    score: str = "lac"
    features: Path | None = None
    tta: Tta | None = None
    batch_size: int | None = None

    def require_valid(self, classes: list[str]) -> None:
        """Check the options before any work.

        Args:
            classes: of the run.

        Raises:
            UserError: an option is out of range, or does not go with another one.
        """
        count = len(classes)
        if not 1 <= self.top_k <= count:
            raise UserError(f"--top-k must be from 1 to {count}, the classes; got {self.top_k}")
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise UserError(f"--threshold must be above 0 and at most 1; got {self.threshold}")
        if self.coverage is not None and not 0 < self.coverage < 1:
            raise UserError(f"--coverage must be above 0 and below 1; got {self.coverage}")
        if self.batch_size is not None and self.batch_size < 1:
            raise UserError(f"--batch-size must be at least 1; got {self.batch_size}")
        _require_name("--score", self.score, SCORES)
        if self.tta is not None:
            _require_name("--tta", self.tta, get_args(Tta))
        if self.format == "parquet" and not self.output:
            raise UserError("--format parquet needs --output FILE; stdout takes text only")
        if self.format == "table" and self.all_probabilities:
            raise UserError("--probabilities needs --format csv, jsonl, json or parquet")
        for option, path in (("--output", self.output), ("--features", self.features)):
            _require_folder(option, path)


def parse_format(name: str | None, as_json: bool, output: Path | None) -> Format:
    """Return the format of the rows: as named, else that of the file's ending, else a table.

    Args:
        as_json: whether `--json` was given.

    Raises:
        UserError: there is no such format, or no ending from which to tell.
    """
    if as_json and name not in (None, "json"):
        raise UserError(f"--json and --format {name} contradict each other; give one of them")
    if as_json:
        return "json"
    if name is None and output:
        name = output.suffix.lower().removeprefix(".")
        if name not in FORMATS:
            raise UserError(
                f"--output {output}: its ending does not tell the format; add --format, one of"
                f" {', '.join(FORMATS)}"
            )
    found = next((each for each in FORMATS if each == (name or "table")), None)
    if found is None:
        _require_name("--format", str(name), FORMATS)
    return found or "table"


def parse_features(path: Path | None) -> Path | None:
    """Return the file for the features.

    Raises:
        UserError: its ending is not that of a format.
    """
    if path and path.suffix.lower() not in FEATURE_ENDINGS:
        raise UserError(f"--features {path}: give a file ending in {' or '.join(FEATURE_ENDINGS)}")
    return path


def parse_tta(name: str | None) -> Tta | None:
    """Return the method of test-time augmentation.

    Raises:
        UserError: there is no such method.
    """
    if name is None:
        return None
    methods: tuple[Tta, ...] = get_args(Tta)
    _require_name("--tta", name, methods)
    return next(each for each in methods if each == name)


def _require_name(option: str, name: str, allowed: tuple[str, ...]) -> None:
    if name not in allowed:
        raise UserError(
            f"{option} {name}: allowed: {', '.join(allowed)}{parts.suggest(name, list(allowed))}"
        )


def _require_folder(option: str, path: Path | None) -> None:
    if path and not path.parent.is_dir():
        raise UserError(
            f"{option} {path}: the folder {path.parent} does not exist; create it, or choose"
            " another one"
        )
    if path and path.is_dir():
        raise UserError(f"{option} {path} is a folder; give the name of a file in it")
