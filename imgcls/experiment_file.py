"""From a YAML file to an `Experiment`: `extends:`, `--set`, and all mistakes at once. Light
zone.
"""

from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from imgcls import name_value, parts
from imgcls.config import Experiment
from imgcls.durations import Duration
from imgcls.errors import UserError
from imgcls.io import yaml_file
from imgcls.io.yaml_file import Document, Location, Mark, ProblemsError
from imgcls.parts import PartOf, Section


def read_experiment(path: Path, overrides: list[str] | None = None) -> Experiment:
    """Read an experiment file. Precedence, lowest first: defaults, `extends:` parents, the file,
    `--set a.b=value` overrides.

    Raises:
        UserError: a file cannot be read, or an override is not of the form `a.b=value`.
        ProblemsError: the experiment is wrong; each line of the message reads `file:line:column:
            what is wrong ...`.
    """
    document = _read_with_parents(path, ())
    for override in overrides or []:
        _merge(document, _parse_override(override))
    try:
        return Experiment.model_validate(document.value)
    except ValidationError as error:
        explained = [_explain(problem, document) for problem in error.errors(include_url=False)]
        raise ProblemsError(
            [f"{mark}: {text}" for mark, text in sorted(explained, key=lambda pair: pair[0].order)]
        ) from None


class _SchemaWithText(GenerateJsonSchema):
    """Writes the default of a duration as an experiment file does, where pydantic shows the fields
    of its class.
    """

    def encode_default(self, dft: Any) -> Any:
        return str(dft) if isinstance(dft, Duration) else super().encode_default(dft)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of experiment files; one that extends another may leave anything to
    it.
    """
    schema = Experiment.model_json_schema(schema_generator=_SchemaWithText)
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "An experiment file beside this one, merged below it.",
    }
    schema["anyOf"] = [{"required": ["extends"]}, {"required": schema.pop("required")}]
    return schema


def _read_with_parents(path: Path, children: tuple[Path, ...]) -> Document:
    """Read a file merged over the file that its `extends:` names, which is sought beside it."""
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
    parent_path = path.parent / parent
    if parent_path.resolve() in [child.resolve() for child in (*children, path)]:
        raise ProblemsError(
            [f"{mark}: {parent_path} extends itself by way of {path}; break the circle"]
        )
    if not parent_path.is_file():
        raise ProblemsError([f"{mark}: extends names {parent_path}, which does not exist"])
    merged = _read_with_parents(parent_path, (*children, path))
    _merge(merged, document)
    return merged


def _merge(under: Document, over: Document) -> None:
    """Lay one document over another: mappings merge key by key, all else is replaced.

    A mapping that names another part replaces the mapping below it, since the settings of one part
    mean nothing to another.
    """
    under.value = _merge_values(under.value, over.value, ())
    under.values.update(over.values)
    under.keys.update(over.keys)


def _merge_values(under: Any, over: Any, location: Location) -> Any:
    if (
        isinstance(under, list)
        and isinstance(over, dict)
        and over
        and all(key in map(str, range(len(under))) for key in over)
    ):
        return [
            _merge_values(item, over[str(i)], (*location, i)) if str(i) in over else item
            for i, item in enumerate(under)
        ]
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    names_another_part = location and "name" in over and over["name"] != under.get("name")
    if names_another_part:
        return over
    return {
        **under,
        **{
            key: _merge_values(under.get(key), value, (*location, key))
            for key, value in over.items()
        },
    }


def _parse_override(text: str) -> Document:
    """Read `a.b=value`, in which the value is YAML, as a document with one leaf."""
    source, form = f"--set {text}", "KEY=VALUE, such as train.epochs=5"
    key, value = name_value.parse_pair("--set", text, form)
    words = key.split(".")
    if not all(words):
        raise UserError(f"{source}: needs the form {form}")
    leaf = yaml_file.parse(value, source) if value.strip() else Document(None)
    nested = leaf.value
    for word in reversed(words):
        nested = {word: nested}
    places = [
        tuple(int(word) if word.isdigit() else word for word in words[: i + 1])
        for i in range(len(words))
    ]
    marks = {place: Mark(source) for place in places}
    marks.update({(*places[-1], *place): Mark(source) for place in leaf.values})
    return Document(nested, values=marks, keys=dict(marks))


def _explain(problem: Any, document: Document) -> tuple[Mark, str]:
    """Return where a mistake stands, and in words what is wrong, what was given and what is
    allowed.
    """
    location: Location = problem["loc"]
    kind, name = problem["type"], ".".join(map(str, location))
    if kind == "extra_forbidden":
        allowed = _find_allowed_keys(document.value, location[:-1])
        place = f" in {'.'.join(map(str, location[:-1]))}" if location[1:] else ""
        guess = parts.suggest(str(location[-1]), allowed)
        return (
            document.find_mark(location, of_key=True),
            f"unknown key '{location[-1]}'{place}; allowed: {', '.join(allowed)}{guess}",
        )
    if kind == "missing":
        return document.find_mark(location), f"{name} is missing; add it"
    if kind == "unknown_part":
        return document.find_mark((*location, "name")), f"{name}: {problem['msg']}"
    message = problem["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    given = "" if kind == "value_error" else f"; got {_format_value(problem['input'])}"
    mark = document.find_mark(location)
    return mark, f"{name}: {message}{given}" if name else f"{message}{given}"


def _format_value(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _find_allowed_keys(value: Any, location: Location) -> list[str]:
    """Return the keys that the section at a location knows, following the parts that `value` names
    on the way.
    """
    section: type[Section] = Experiment
    kind = None
    for step in location:
        value = value[step]
        if isinstance(step, str):
            inner = _find_inner_annotations(section.model_fields[step])
            kind = next((item.kind for item in inner if isinstance(item, PartOf)), None)
            section = next(
                (item for item in inner if isinstance(item, type) and issubclass(item, Section)),
                section,
            )
        if kind and isinstance(value, dict):
            section = parts.load(kind, value["name"]).Settings
    return list(section.model_fields)


def _find_inner_annotations(field: FieldInfo) -> list[Any]:
    """Return a field's annotation with all that stands inside it, such as
    `list[Annotated[PartSettings, PartOf(...)]]`.
    """
    found = [*field.metadata]
    waiting = [field.annotation]
    while waiting:
        annotation = waiting.pop(0)
        found += [annotation, *getattr(annotation, "__metadata__", ())]
        waiting += get_args(annotation)
    return found
