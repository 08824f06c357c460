"""Parts: plug-ins that an experiment file names by their file names. Light zone.

`model: {name: cnn}` means `imgcls/models/cnn.py`. A part's file has a docstring with its source, a
class `Settings` and one function, whose contract is in the `__init__.py` of the folder. There is no
registry: to add a part, add a file.
"""

import difflib
import importlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError, core_schema

from imgcls import foreign_words
from imgcls.errors import UserError

PACKAGE = Path(__file__).parent

KINDS = (
    "augmentations",
    "checks",
    "compressors",
    "corruptions",
    "datasets",
    "explainers",
    "exporters",
    "figures",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "pruners",
    "samplers",
    "schedules",
    "strategies",
)
"""The kinds of parts, each a folder of this package."""


class Section(BaseModel):
    """A mapping of the experiment file: strictly typed, immutable, without unknown keys."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        validate_default=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )

    short: ClassVar[str | None] = None
    """The setting that a value alone means, as `early_stopping: 5` its patience; None: none."""

    @classmethod
    def expand(cls, value: Any) -> Any:
        """Return the mapping that a short form means; any other value as it is."""
        is_alone = value is not None and not isinstance(value, (dict, list, bool, Section))
        return {cls.short: value} if cls.short and is_alone else value

    @model_validator(mode="before")
    @classmethod
    def _take_short_form(cls, value: Any) -> Any:
        return cls.expand(value)


class PartSettings(Section):
    """The settings of a part; `name` is the part's file name."""

    neutral: ClassVar[frozenset[str]] = frozenset()
    """Settings that a continued run may change, since they do not affect results."""

    name: str

    def identity(self) -> dict[str, Any]:
        """Return the settings that can change a number."""
        return self.model_dump(exclude=set(self.neutral))


def must_be(rule: str) -> WrapValidator:
    """Return the annotation of a field of several types whose error is one sentence with a rule.

    Pydantic's own is one error for each type.
    """

    def validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise ValueError(f"is {value!r}, but must be {rule}") from None

    return WrapValidator(validate)


SettingsType = TypeVar("SettingsType", bound=PartSettings)


@lru_cache
def list_names(kind: str) -> list[str]:
    """Return the names of the parts of a kind, read from its folder."""
    return sorted(
        path.stem for path in (PACKAGE / kind).glob("*.py") if not path.stem.startswith("_")
    )


def load(kind: str, name: str, names: list[str] | None = None) -> ModuleType:
    """Import the module of a part; errors raised by the module are not caught.

    Args:
        names: that are allowed; all of the kind unless given.

    Raises:
        PydanticCustomError: there is no part of this name. It is a `ValueError`, so that validation
            reports it with its location.
    """
    allowed = list_names(kind) if names is None else names
    if name not in allowed:
        foreign = foreign_words.explain_part(kind, name)
        raise PydanticCustomError(
            "unknown_part",
            "unknown name '{given}'; allowed: {allowed}{guess}",
            {
                "given": name,
                "allowed": ", ".join(allowed),
                "guess": f" ({foreign})" if foreign else suggest(name, allowed),
            },
        )
    return importlib.import_module(f"imgcls.{kind}.{name}")


def load_for(kind: str, settings: PartSettings) -> ModuleType:
    """Return the module of the part that validated settings are for."""
    return load(kind, settings.name)


def make_default_settings(kind: str, name: str) -> Any:
    """Return a part's settings with every default, of the class that its kind's parts share."""
    return load(kind, name).Settings(name=name)


def make_all_default_settings(kind: str) -> list[Any]:
    """Return the settings of all parts of a kind, with every default."""
    return [make_default_settings(kind, name) for name in list_names(kind)]


def require_unique(settings: list[SettingsType], reason: str) -> list[SettingsType]:
    """Return the settings of several parts, after checking that no part is listed twice.

    Raises:
        ValueError: one is; `reason` says why that is an error, or what to do.
    """
    names = [each.name for each in settings]
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise ValueError(f"lists {', '.join(duplicates)} more than once; {reason}")
    return settings


def suggest(word: str, allowed: Iterable[str]) -> str:
    """Return ` (did you mean 'X'?)` for the most similar allowed word; empty if none is similar."""
    by_lower = {each.lower(): each for each in allowed}
    matches = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f" (did you mean '{by_lower[matches[0]]}'?)" if matches else ""


def describe(kind: str | None) -> dict[str, str]:
    """Return the summaries of the parts of a kind, or of all kinds, by `kind/name`.

    Raises:
        UserError: there is no such kind.
    """
    if kind is not None and kind not in KINDS:
        words = [*KINDS, *(name for each in KINDS for name in list_names(each))]
        raise UserError(
            f"unknown kind or part '{kind}'; the kinds are {', '.join(KINDS)}{suggest(kind, words)}"
        )
    return {
        f"{each}/{name}": summarize(load(each, name))
        for each in (KINDS if kind is None else [kind])
        for name in list_names(each)
    }


def summarize(module: ModuleType) -> str:
    """Return the first paragraph of a part's docstring on one line, without its zone."""
    paragraph = " ".join((module.__doc__ or "").partition("\n\n")[0].split())
    return paragraph.removesuffix("Light zone.").rstrip()


class PartOf:
    """Annotation of a field with a part, which is validated by the `Settings` of the named file.

    A nested `ValidationError` keeps its locations, so mistakes inside a part are reported together
    with all others.

    Args:
        kind: of the part.
        default: name of the part that is meant by a mapping without a name; None if there is none.
        names: of the parts that are allowed; all of the kind unless given.
        values: defaults that differ from those of the parts themselves, by the parts' names.
    """

    def __init__(
        self,
        kind: str,
        default: str | None = None,
        names: tuple[str, ...] | None = None,
        values: dict[str, dict[str, Any]] | None = None,
    ):
        self.kind = kind
        self.default = default
        self._names = names
        self._values = values or {}

    @property
    def names(self) -> list[str]:
        """The names of the parts that are allowed."""
        return list_names(self.kind) if self._names is None else list(self._names)

    def make_default(self) -> Any:
        """Return the settings of the default part."""
        return self.validate(self.default)

    def expand(self, value: Any) -> Any:
        """Return the mapping that a short form means: a name, or settings of the default part."""
        value = expand_name(value)
        if self.default and isinstance(value, dict):
            value = {"name": self.default, **value}
        if self._values and isinstance(value, dict):
            return {**self._values.get(str(value.get("name")), {}), **value}
        return value

    def validate(self, value: Any) -> PartSettings:
        """Convert a mapping with a `name`, or its short form, to the settings of that part."""
        if isinstance(value, PartSettings):
            return value
        value = self.expand(value)
        if not isinstance(value, dict) or not isinstance(value.get("name"), str):
            raise PydanticCustomError(
                "part_without_name",
                "needs a name, such as {example}; allowed: {allowed}",
                {
                    "example": self.default or self.names[0],
                    "allowed": ", ".join(self.names),
                },
            )
        return load(self.kind, value["name"], self.names).Settings.model_validate(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda settings: settings.model_dump()
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: Any
    ) -> dict[str, Any]:
        """Return a rule for each part that applies to its name alone, so that an editor names what
        is wrong in a section, instead of saying that no part fits it.
        """
        is_mapping = {"type": "object"}
        names: dict[str, Any] = {"properties": {"name": {"enum": self.names}}}
        if self.default is None:
            names["required"] = ["name"]
        rules = [{"if": is_mapping, "then": names, "else": {"enum": self.names}}]
        for name in self.names:
            choice = handler.resolve_ref_schema(
                handler(load(self.kind, name).Settings.__pydantic_core_schema__)
            )
            properties = {**choice["properties"], "name": {"const": name}}
            for key, value in self._values.get(name, {}).items():
                properties[key] = {**properties[key], "default": value}
            required = [key for key in choice["required"] if key != "name"]
            chosen = {} if name == self.default else {"required": ["name"]}
            is_chosen = {"properties": {"name": {"const": name}}, **is_mapping, **chosen}
            then = {**choice, "properties": properties, "required": required}
            rules.append({"if": is_chosen, "then": then})
        return {"type": ["object", "string"], "allOf": rules}


def expand_name(value: Any) -> Any:
    """Return the mapping that the name of a part alone means; any other value as it is."""
    return {"name": value} if isinstance(value, str) else value
