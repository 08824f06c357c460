"""Figures drawn as tests look at them: laid out, rendered, and with every warning an error."""

import io
import warnings
from functools import lru_cache

from matplotlib.figure import Figure

from imgcls import parts
from imgcls.figures import Subject, _style
from imgcls.run import Run

OF_MORE = {
    "compression": "imgcls compress",
    "corruptions": "imgcls eval --corruptions",
    "embedding_map": "evaluate.embedding",
    "explanation_sheet": "imgcls explain",
    "feature_importance": "imgcls explain",
}
"""Figures that need more than `train` and `eval`, with what that is."""


def after_eval() -> list[str]:
    """Return the names of the figures that a run has after `eval` alone."""
    return [name for name in parts.list_names("figures") if name not in OF_MORE]


def draw(run: Run, name: str, **settings: object) -> Figure:
    """Draw a figure, with every warning an error; it is laid out and rendered, so that its artists
    have their final places.
    """
    module = parts.load("figures", name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with _style.apply_style():
            figure = module.draw(
                module.Settings(name=name, **settings), Subject(run, run.experiment)
            )
            figure.savefig(io.BytesIO(), dpi=_style.DOTS_PER_INCH)
    return figure


@lru_cache
def drawn(run: Run, name: str) -> Figure:
    """Draw a figure with its default settings, once for all tests that only look at it."""
    return draw(run, name)
