"""The verb `init`: writes an experiment that fits a folder of images, or a recipe. Light zone."""

import os
import shlex
from pathlib import Path

from imgcls.errors import UserError
from imgcls.experiment_file import read_experiment
from imgcls.io import files
from imgcls.io.terminal import to_printable
from imgcls.rehearsal import draft, recipes
from imgcls.rehearsal.survey import survey


def init(folder: Path | None, recipe: str | None = None, output: Path | None = None) -> list[Path]:
    """Write an experiment file, in the current folder unless `output` names another file.

    Args:
        folder: of images, or a list of them (CSV, TSV, JSON lines), or a file of arrays.
        recipe: the name of an experiment that comes with imgcls, instead of a folder.
        output: the file to write.

    Returns:
        The written file, and those that it extends.

    Raises:
        UserError: neither or both are given, the file exists, or there is no such recipe.
        DataError: as `survey`.
    """
    if (folder is None) == (recipe is None):
        raise UserError(
            "give the folder of your images, a list of them (CSV), or --recipe with one of:"
            f" {', '.join(recipes.list_recipes())}"
        )
    texts = _copy_recipe(recipe, output) if recipe else _draft(folder or Path(), output)
    for path in texts:
        if os.path.lexists(path):
            raise UserError(f"{path} exists; remove it, or choose another file with --output")
    for path, text in texts.items():
        with files.explain_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_text(path, text)
    for path in texts:
        read_experiment(path)
    return list(texts)


def _copy_recipe(recipe: str, output: Path | None) -> dict[Path, str]:
    """Return the text of a recipe and of what it extends, by the paths to write."""
    first, *parents = recipes.find_recipe(recipe)
    target = output or Path(first.name)
    targets = {first: target, **{each: target.parent / each.name for each in parents}}
    return {
        path: source.read_text(encoding="utf-8").replace(f"configs/{source.name}", str(path))
        for source, path in targets.items()
    }


def _draft(folder: Path, output: Path | None) -> dict[Path, str]:
    found = survey(folder)
    name = draft.make_name(folder.resolve().stem if folder.suffix else folder.resolve().name)
    path = output or Path(f"{name}.yaml")
    return {path: draft.write_draft(found, name, str(path))}


def format_report(paths: list[str]) -> str:
    """Return what was written, and what to run next."""
    written = [to_printable(f"wrote {path}") for path in paths]
    return "\n".join([*written, "", f"next: imgcls run {shlex.quote(paths[0])}"])
