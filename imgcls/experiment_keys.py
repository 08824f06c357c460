"""The keys and parts that an experiment takes at each of its locations. Light zone."""

from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from imgcls import parts
from imgcls.config import Experiment
from imgcls.io.yaml_file import Location
from imgcls.parts import PartOf, PartSettings, Section


def find_allowed_keys(value: Any, location: Location) -> list[str]:
    """Return the keys that are allowed in the section at a location of an experiment.

    Args:
        value: the experiment as parsed from YAML, whose names say which parts the sections are of.
    """
    section: type[Section] = Experiment
    part = None
    is_free = False  # whether the key is one that a file chooses, such as those of tune.space
    for key in location:
        value = value[key]
        if isinstance(key, str) and is_free:
            is_free = False
        elif isinstance(key, str):
            field = section.model_fields[key]
            section, part = _find_types(field, section)
            is_free = get_origin(field.annotation) is dict
        if part and isinstance(value, dict):
            section = parts.load(part.kind, part.expand(value)["name"]).Settings
    return list(section.model_fields)


def find_homes(value: Any, word: str) -> list[str]:
    """Return the dotted keys that an experiment takes and that end in a word, outside of lists.

    Args:
        value: as of `find_allowed_keys`.
    """
    homes = []
    queue: list[tuple[type[Section], Any, str]] = [(Experiment, value, "")]
    while queue:
        section, content, prefix = queue.pop(0)
        homes += [f"{prefix}{word}"] if word in section.model_fields and word != "name" else []
        for key, field in section.model_fields.items():
            below, part = _find_types(field, Section)
            inner = content.get(key) if isinstance(content, dict) else None
            if get_origin(field.annotation) is not list:
                queue.append((_find_settings(part, inner) or below, inner, f"{prefix}{key}."))
    return homes


def list_keys() -> list[str]:
    """Return the dotted keys of an experiment outside of lists, with those of default parts."""
    keys: list[str] = []
    queue: list[tuple[type[Section], str]] = [(Experiment, "")]
    while queue:
        section, prefix = queue.pop(0)
        for key, field in section.model_fields.items():
            below, part = _find_types(field, Section)
            keys.append(f"{prefix}{key}")
            if get_origin(field.annotation) is not list:
                queue.append((_find_settings(part, None) or below, f"{prefix}{key}."))
    return keys


def _find_settings(part: PartOf | None, value: Any) -> type[PartSettings] | None:
    """Return the settings of the part that a value names, or of the default."""
    expanded = part.expand({} if value is None else value) if part else None
    name = expanded.get("name") if isinstance(expanded, dict) else None
    if part is None or name not in part.names:
        return None
    settings: type[PartSettings] = parts.load(part.kind, str(name)).Settings
    return settings


def list_parts_with(location: Location, word: str) -> list[str]:
    """Return the names of the parts that a location can take, and that have a word as a key."""
    part = find_part(location)
    settings = {name: parts.load(part.kind, name).Settings for name in part.names} if part else {}
    return [name for name, each in settings.items() if word in each.model_fields]


def find_part(location: Location) -> PartOf | None:
    """Return which parts a location of an experiment takes; None if it takes no part."""
    return _find_types_at(location)[1]


def find_section(location: Location) -> type[Section]:
    """Return the section that a location takes, of parts the one they share; `Section` if none."""
    return _find_types_at(location)[0]


def _find_types_at(location: Location) -> tuple[type[Section], PartOf | None]:
    field, part = None, None
    section: type[Section] = Experiment
    for key in location:
        if isinstance(key, str):
            field = section.model_fields.get(key)
            if field is None and part:
                field = _find_field_of_parts(part, key)
            if field is None:
                return Section, None
            section, part = _find_types(field, Section)
    in_list = field is not None and get_origin(field.annotation) is list
    is_one = location and in_list == isinstance(location[-1], int)
    return (section, part) if is_one else (Section, None)


def _find_field_of_parts(part: PartOf, key: str) -> FieldInfo | None:
    """Return the field that one of the allowed parts has under a key; None if none has it."""
    settings = [parts.load(part.kind, name).Settings.model_fields for name in part.names]
    return next((fields[key] for fields in settings if key in fields), None)


def _find_types(field: FieldInfo, section: type[Section]) -> tuple[type[Section], PartOf | None]:
    """Return the section that a field of a section holds, or else that section, and its part."""
    annotations = _list_annotations(field)
    sections = (
        each for each in annotations if isinstance(each, type) and issubclass(each, Section)
    )
    found = (each for each in annotations if isinstance(each, PartOf))
    return next(sections, section), next(found, None)


def _list_annotations(field: FieldInfo) -> list[Any]:
    """Return a field's annotation, its metadata, and all annotations nested in it."""
    annotations = [*field.metadata]
    queue = [field.annotation]
    while queue:
        annotation = queue.pop(0)
        annotations += [annotation, *getattr(annotation, "__metadata__", ())]
        queue += get_args(annotation)
    return annotations
