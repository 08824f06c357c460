"""The figures of a run's explanations, redrawn from its folder."""

import shutil
from pathlib import Path

import pytest
from figure_drawing import draw
from synthetic_explanations import make_scores
from synthetic_run import make_run

from imgcls.explanation.folder import get_explanation_folder
from imgcls.explanation.record import Importance
from imgcls.figures import NotDrawableError
from imgcls.io.records import read_record, write_record
from imgcls.run import Run

FIGURES = pytest.mark.parametrize("name", ["explanation_sheet", "feature_importance"])


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run whose test split is explained."""
    return make_run(tmp_path / "run")


@FIGURES
def test_without_explanations_the_command_is_named(run: Run, name: str):
    shutil.rmtree(run.explanations_folder)
    with pytest.raises(NotDrawableError, match=r"was explained; run `imgcls explain .*` first"):
        draw(run, name)


@FIGURES
def test_explanations_of_an_earlier_model_are_not_shown(run: Run, name: str):
    run.model_file.write_bytes(b"another model")
    with pytest.raises(NotDrawableError, match=r"made by an earlier .* --split test` again"):
        draw(run, name)


def test_the_sheet_is_of_the_method_that_gains_most(run: Run):
    folder = get_explanation_folder(run, "test")
    shutil.copytree(
        folder.method_folder("occlusion").folder, folder.method_folder("grad_cam").folder
    )
    (axes,) = draw(run, "explanation_sheet").axes
    assert axes.get_title("left").startswith("Occlusion marks")
    better = make_scores(24, gain=0.3).model_copy(
        update={"method": "grad_cam", "finding": "Grad-CAM marks", "model": _read_model(folder)}
    )
    write_record(folder.method_folder("grad_cam").scores_file, better)
    (axes,) = draw(run, "explanation_sheet").axes
    assert axes.get_title("left") == "Grad-CAM marks"


def _read_model(folder) -> str:

    return read_record(folder.importance_file, Importance, "").model
