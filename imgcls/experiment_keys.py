"""The keys and parts that an experiment takes at each of its locations. Light zone."""

from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from imgcls import parts
from imgcls.config import Experiment
from imgcls.io.yaml_file import Location
from imgcls.parts import PartOf, Section


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


def find_part(location: Location) -> PartOf | None:
    """Return which parts a location of an experiment takes; None if it takes no part."""
    section: type[Section] = Experiment
    field, part = None, None
    for key in location:
        if isinstance(key, str):
            field = section.model_fields.get(key)
            if field is None and part:
                field = _find_field_of_parts(part, key)
            if field is None:
                return None
            section, part = _find_types(field, section)
    in_list = field is not None and get_origin(field.annotation) is list
    return part if location and in_list == isinstance(location[-1], int) else None


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
