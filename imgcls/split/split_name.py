"""The split that a command is given by its name. Light zone."""

from imgcls import parts
from imgcls.datasets import SPLITS, SplitName
from imgcls.errors import UserError
from imgcls.run import Run


def parse_split_name(run: Run, name: str) -> SplitName:
    """Return the split of this name.

    Raises:
        UserError: the split does not exist, or the run has no images in it.
    """
    split = next((split for split in SPLITS if split == name), None)
    if split is None:
        raise UserError(
            f"there is no split '{name}'; allowed:"
            f" {', '.join(SPLITS)}{parts.suggest(name, list(SPLITS))}"
        )
    sizes = run.data.sizes
    if not sizes[split]:
        filled = ", ".join(name for name in SPLITS if sizes[name])
        raise UserError(
            f"the {split} split of {run.folder} has no images; choose one that has: {filled}"
        )
    return split
