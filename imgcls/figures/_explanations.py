"""What figures show of the explanations of a run. Light zone."""

from imgcls.explanation import saved
from imgcls.explanation.record import Provenance
from imgcls.explanation.saved import SavedExplanations
from imgcls.figures import NotDrawableError, Subject


def find(subject: Subject) -> SavedExplanations:
    """Return the explanations of a split.

    Raises:
        NotDrawableError: there are none.
    """
    found = saved.find_saved(subject.folder)
    if found is None:
        folder = subject.folder.folder
        raise NotDrawableError(
            f"no split of {folder} was explained; run `imgcls explain {subject.run.folder}` first"
        )
    return found


def require_current(subject: Subject, found: SavedExplanations, made_of: Provenance) -> None:
    """Check that the run's model was explained.

    Raises:
        NotDrawableError: it was an earlier one.
    """
    command = f"imgcls explain {subject.run.folder} --split {found.split}"
    subject.require_current_model(made_of.model, "the explanations", command)
