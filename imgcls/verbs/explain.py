"""The verb `explain`: maps of what predictions depend on, with scores. Light zone.

TensorFlow is imported once everything else is checked.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imgcls.config import Experiment
from imgcls.datasets import SplitName
from imgcls.errors import UserError
from imgcls.explanation.folder import lock_explanations
from imgcls.explanation.record import Explanation
from imgcls.prediction.inputs import Inputs, note_ignored
from imgcls.run import Run
from imgcls.run_lookup import require_finished
from imgcls.split.split_name import parse_split_name

if TYPE_CHECKING:
    from imgcls.explanation.images import Images
    from imgcls.prediction.loaded_model import LoadedModel

DEFAULT_SPLIT: SplitName = "validation"
"""The split that is explained without files: the test split is read where it is asked for."""


def explain(
    run: Run,
    experiment: Experiment,
    paths: Sequence[str] = (),
    split_name: str | None = None,
) -> Explanation:
    """Explain the predictions of a run's model, and measure whether the maps can be believed.

    Each method of `experiment.explain` gets a folder with maps, scores and figures. Of a split, the
    importance of channels, color, frequencies and regions is measured too.

    Args:
        experiment: that of the run, perhaps with other settings that do not affect training.
        paths: image files, folders and patterns; without any, images of a split are explained.
        split_name: train, validation or test; validation unless given.

    Raises:
        UserError: both or an unknown split are given, the run was compressed to LiteRT, or a method
            does not suit the model.
        DataError: the run is not finished, a file of it or its store is missing or damaged; or
            images could not be read; all others are then explained.
        DivergenceError: a map is not finite.
        OutOfMemoryError: a batch does not fit the device.
    """
    require_finished(run)
    _require_network(run)
    split = _choose_split(run, paths, split_name)

    from imgcls.explanation import runner
    from imgcls.explanation.loading import make_network
    from imgcls.prediction.loaded_model import load_model

    loaded = load_model(run, experiment)
    network = make_network(loaded, experiment.explain.batch_size)
    images = _read_images(run, experiment, loaded, paths, split)
    with lock_explanations(run):
        found = runner.run_methods(run, experiment, network, images, loaded.identity, split)
    images.require_all_read()
    return found


def add_methods(methods: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """Return overrides of an experiment, in which methods by name replace `explain.methods`.

    Settings of methods then follow, such as `explain.methods.0.steps=100`.
    """
    return [*([f"explain.methods=[{', '.join(methods)}]"] if methods else []), *overrides]


def _require_network(run: Run) -> None:
    if run.model_file != run.keras_file:
        raise UserError(
            f"{run.folder} was compressed to {run.model_file.name}, which has no gradients and no"
            " layers to look into; explain the run that it was made of"
        )


def _choose_split(run: Run, paths: Sequence[str], name: str | None) -> SplitName | None:
    """Return the split to explain; None for files."""
    if not paths:
        return parse_split_name(run, name or DEFAULT_SPLIT)
    if name is not None:
        raise UserError("give either image files or --split, not both")
    return None


def _read_images(
    run: Run,
    experiment: Experiment,
    loaded: "LoadedModel",
    paths: Sequence[str],
    split: SplitName | None,
) -> "Images":
    from imgcls.explanation import images

    if split is not None:
        settings = experiment.explain
        return images.read_split(
            run, experiment, split, max(settings.images, settings.importance_images)
        )
    inputs = Inputs(paths)
    found = images.read_files(list(inputs), loaded.opener, experiment)
    note_ignored(inputs)
    return found
