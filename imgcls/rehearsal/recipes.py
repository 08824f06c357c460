"""The experiments that come with imgcls, as files to start from. Light zone."""

from pathlib import Path

from imgcls import parts
from imgcls.errors import UserError
from imgcls.io import yaml_file

FOLDERS = (parts.PACKAGE / "recipes", parts.PACKAGE.parent / "configs")
"""Where they are: in an installed package, and in the source tree."""


def list_recipes() -> dict[str, Path]:
    """Return the files of all recipes, by name."""
    folder = next((each for each in FOLDERS if each.is_dir()), FOLDERS[-1])
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_recipe(name: str) -> list[Path]:
    """Return the file of a recipe, and those that it extends.

    Raises:
        UserError: there is no such recipe.
    """
    recipes = list_recipes()
    if name not in recipes:
        raise UserError(
            f"--recipe {name}: there is no such recipe; allowed: {', '.join(recipes)}"
            f"{parts.suggest(name, recipes)}"
        )
    found = [recipes[name]]
    while parent := yaml_file.read(found[-1]).value.get("extends"):
        found.append(found[-1].parent / parent)
    return found
