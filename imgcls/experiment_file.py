"""Reading an `Experiment` from YAML, with `extends:` and `--set`. Light zone.

All mistakes are reported at once.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from imgcls import experiment_keys, name_value, parts
from imgcls.config import Experiment
from imgcls.errors import DataError, UserError
from imgcls.experiment_problems import explain
from imgcls.io import yaml_file
from imgcls.io.data_file import DataFile
from imgcls.io.records import FormatError
from imgcls.io.terminal import list_rest, to_printable
from imgcls.io.yaml_file import Document, Location, Mark, ProblemsError

_MAX_DEPTH = 20
"""Levels of a key in `--set`; no experiment has as many."""
_MAX_OVERRIDES = 500
"""Options `--set` of one command."""
_MAX_PROBLEMS = 50
"""Mistakes that are reported at once."""
_MAX_QUOTED = 100
"""Characters of a `--set` that messages quote."""


def read_experiment(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment file.

    Overrides (`--set a.b=value`) take precedence over the file, the file over its `extends:`
    parents, and these over defaults.

    Raises:
        UserError: a file cannot be read, or an override is not of the form `a.b=value`.
        ProblemsError: the experiment is wrong; each line of the message reads `file:line:column:
            what is wrong ...`.
        FormatError: it is that of a run of another format.
    """
    document = _read_with_parents(path, ())
    if len(overrides) > _MAX_OVERRIDES:
        raise UserError(f"--set is given {len(overrides):,} times; {_MAX_OVERRIDES} are allowed")
    yaml_file.require_size(sum(map(len, overrides)), "--set")
    for override in overrides:
        _merge(document, _parse_override(override))
    try:
        experiment = Experiment.model_validate(document.value)
    except ValidationError as error:
        _require_format(path)
        problems = error.errors(include_url=False)
        explained = [explain(problem, document) for problem in problems[:_MAX_PROBLEMS]]
        more = list_rest(len(problems), _MAX_PROBLEMS)
        raise _make_error(explained, more) from None
    if experiment.tune:
        from imgcls.tuning import space_check  # which reads experiments with this module

        if found := space_check.find_problems(experiment, experiment.tune, document):
            raise _make_error(found)
    return experiment


def _make_error(explained: list[tuple[Mark, str]], more: Sequence[str] = ()) -> ProblemsError:
    """Return the error of all mistakes, in the order of their marks; `more` says what is left."""
    ordered = sorted(explained, key=lambda pair: pair[0].order)
    return ProblemsError(
        [f"{mark}: {to_printable(text)}" for mark, text in ordered]
        + [f"{ordered[-1][0]}: {rest}" for rest in more]
    )


def read_trained_experiment(path: Path, advice: str) -> Experiment:
    """Return the experiment in the folder of a run or family.

    Args:
        advice: what to do if the file is damaged.

    Raises:
        FormatError: another version of imgcls wrote it.
        DataError: the file is damaged.
    """
    file = DataFile(path, advice)
    file.read_bytes()
    try:
        return read_experiment(path)
    except FormatError:
        raise
    except UserError as error:
        raise file.make_damage_error(str(error).splitlines()[0]) from None


def _require_format(path: Path) -> None:
    """Refuse config.yaml of a run of another format by that, instead of key by key."""
    from imgcls.run import Run  # which reads its experiment with this module

    run = Run(path.parent)
    if path == run.config_file and os.path.lexists(run.status_file):
        try:
            run.require_format()
        except FormatError:
            raise
        except DataError:
            return  # a damaged status.json hides no mistake in config.yaml


def _read_with_parents(path: Path, children: tuple[Path, ...]) -> Document:
    """Read a file, and merge it over the file named by `extends:`, relative to its folder."""
    document = yaml_file.read(path)
    if not isinstance(document.value, dict):
        raise ProblemsError(
            [
                f"{document.find_mark(())}: an experiment maps keys to values, such as name:,"
                f" data:, model:; got {document.value!r}"
            ]
        )
    parent = document.value.pop("extends", None)
    if parent is None:
        return document
    mark = document.find_mark(("extends",))
    if not isinstance(parent, str):
        raise ProblemsError(
            [
                f"{mark}: extends takes the path of one experiment file, relative to this one; got"
                f" {parent!r}"
            ]
        )
    parent_path = _find_parent(parent, mark, (*children, path))
    try:
        merged = _read_with_parents(parent_path, (*children, path))
    except ProblemsError:
        raise
    except UserError as error:
        raise ProblemsError([f"{mark}: extends: {error}"]) from None
    _merge(merged, document)
    return merged


def _find_parent(parent: str, mark: Mark, children: tuple[Path, ...]) -> Path:
    """Return the path of a parent, which a file can extend once.

    Args:
        children: the files that extend each other, of which the last one names the parent.
    """
    parent_path = children[-1].parent / parent
    name = to_printable(str(parent_path))
    try:
        is_file = parent_path.is_file()
        is_repeated = parent_path.resolve() in [each.resolve() for each in children]
        size = sum(each.stat().st_size for each in (*children, parent_path) if is_file)
    except (OSError, ValueError, RuntimeError) as error:
        # Too long, characters that no file name has, or a link to itself.
        reason = getattr(error, "strerror", None) or str(error)
        raise ProblemsError([f"{mark}: extends names {name}: {reason}"]) from None
    if is_repeated:
        raise ProblemsError(
            [f"{mark}: {name} extends itself through {children[-1]}; remove one of the extends:"]
        )
    if not is_file:
        state = "is not a file" if parent_path.exists() else "does not exist"
        raise ProblemsError([f"{mark}: extends names {name}, which {state}"])
    if size > yaml_file.MAX_BYTES or len(children) > _MAX_DEPTH:
        raise ProblemsError(
            [
                f"{mark}: extends names {name}; at most {_MAX_DEPTH} files of"
                f" {yaml_file.MAX_BYTES:,} bytes together can extend each other"
            ]
        )
    return parent_path


def _merge(base: Document, override: Document) -> None:
    """Merge a document into another, in place: mappings key by key; other values are replaced.

    A mapping that names another part replaces the mapping of the base, since parts have different
    settings. A part may be given by its name alone, or without the name of its default, and a
    section by the value that it means alone.
    """
    base.value = merge_values(base.value, override.value, ())
    base.values.update(override.values)
    base.keys.update(override.keys)


def merge_values(base: Any, override: Any, location: Location = ()) -> Any:
    """Return what `extends:` and `--set` make of two values at a location of an experiment."""
    if part := experiment_keys.find_part(location):
        base, override = part.expand(base), parts.expand_name(override)
    else:
        section = experiment_keys.find_section(location)
        base, override = section.expand(base), section.expand(override)
    if (
        isinstance(base, list)
        and isinstance(override, dict)
        and override
        and all(key in map(str, range(len(base))) for key in override)
    ):
        return [
            merge_values(item, override[str(i)], (*location, i)) if str(i) in override else item
            for i, item in enumerate(base)
        ]
    if not isinstance(base, dict) or not isinstance(override, dict):
        return override
    if location and "name" in override and override["name"] != base.get("name"):
        return override
    return {
        **base,
        **{
            key: merge_values(base.get(key), value, (*location, key))
            for key, value in override.items()
        },
    }


def _parse_override(text: str) -> Document:
    """Parse `a.b=value`, in which the value is YAML, to a document of nested mappings."""
    quoted = text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}..."
    source, form = f"--set {to_printable(quoted)}", "KEY=VALUE, such as train.epochs=5"
    key, value = name_value.parse_pair("--set", text, form)
    keys = key.split(".")
    if not all(keys):
        raise UserError(f"{source}: needs the form {form}")
    if len(keys) > _MAX_DEPTH:
        raise UserError(
            f"{source}: the key has {len(keys)} parts; no setting has over {_MAX_DEPTH}"
        )
    leaf = yaml_file.parse(value, source) if value.strip() else Document(None)
    nested = leaf.value
    for each in reversed(keys):
        nested = {each: nested}
    locations = [
        tuple(int(each) if re.fullmatch("[0-9]{1,9}", each) else each for each in keys[: i + 1])
        for i in range(len(keys))
    ]
    marks = {location: Mark(source) for location in locations}
    marks.update({(*locations[-1], *location): Mark(source) for location in leaf.values})
    return Document(nested, values=marks, keys=dict(marks))


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings and lists to one mapping, with the dotted keys that `--set` takes."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else None
    )
    if items is None:
        return {prefix.removesuffix("."): value}
    flat: dict[str, Any] = {}
    for key, inner in items:
        flat.update(flatten(inner, f"{prefix}{key}."))
    return flat
