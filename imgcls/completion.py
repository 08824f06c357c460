"""What a shell completes: experiments, runs, settings, and the names of parts. Light zone.

Only what a command accepts is offered: of runs, those that are finished. All imports are inside the
functions, since every command imports this module to say who completes its arguments.
"""

from collections.abc import Iterator
from pathlib import Path

_SUFFIXES = (".yaml", ".yml")


def complete_experiment(incomplete: str) -> list[str]:
    """Return the experiment files and folders that begin with what is typed."""
    return sorted(_list_experiments(incomplete))


def complete_target(incomplete: str) -> list[str]:
    """Return what `complete_experiment` does, and the finished runs."""
    return sorted({*_list_experiments(incomplete), *complete_run(incomplete)})


def complete_run(incomplete: str) -> list[str]:
    """Return the finished runs below runs/ that begin with what is typed."""
    from imgcls.errors import UserError
    from imgcls.run_lookup import find_all_runs

    found = []
    for run in find_all_runs():
        try:
            is_finished = run.status.status == "finished"
        except UserError:
            continue  # damaged, or of another format
        found += [str(run.folder)] if is_finished else []
    return sorted(each for each in found if each.startswith(incomplete))


def complete_setting(incomplete: str) -> list[str]:
    """Return the keys that begin with what is typed, each with the `=` of `--set`."""
    from imgcls import experiment_keys

    return [f"{key}=" for key in experiment_keys.list_keys() if key.startswith(incomplete)]


def complete_figure(incomplete: str) -> list[str]:
    """Return the names of figures that begin with what is typed."""
    return _list_parts("figures", incomplete)


def complete_format(incomplete: str) -> list[str]:
    """Return the formats of `export` that begin with what is typed."""
    return _list_parts("exporters", incomplete)


def complete_method(incomplete: str) -> list[str]:
    """Return the methods of `compress` that begin with what is typed."""
    return _list_parts("compressors", incomplete)


def complete_recipe(incomplete: str) -> list[str]:
    """Return the recipes that begin with what is typed."""
    from imgcls.rehearsal import recipes

    return _filter(list(recipes.list_recipes()), incomplete)


def complete_split(incomplete: str) -> list[str]:
    """Return the splits that begin with what is typed."""
    return _filter(["train", "validation", "test"], incomplete)


def complete_kind_or_part(incomplete: str) -> list[str]:
    """Return the kinds of parts, and the names of all parts, that begin with what is typed."""
    from imgcls import parts

    names = {name for kind in parts.KINDS for name in parts.list_names(kind)}
    return _filter([*parts.KINDS, *sorted(names)], incomplete)


def _list_parts(kind: str, incomplete: str) -> list[str]:
    from imgcls import parts

    return _filter(parts.list_names(kind), incomplete)


def _filter(names: list[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _list_experiments(incomplete: str) -> Iterator[str]:
    folder = Path(incomplete.rpartition("/")[0] or ("/" if incomplete.startswith("/") else "."))
    try:
        inside = list(folder.iterdir())
    except OSError:
        return  # there is no such folder
    for path in inside:
        is_folder = path.is_dir() and not path.name.startswith(".")
        text = f"{path}/" if is_folder else str(path)
        if text.startswith(incomplete) and (is_folder or path.suffix in _SUFFIXES):
            yield text
