"""The JSON Schema of experiment files, for editors that complete and check YAML. Light zone.

Editors show the mistake itself only if the schema has no alternatives: of `oneOf`, they say that
none fits. So a rule for each part applies to its name alone, and a short form to its type alone.
"""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from imgcls.config import Experiment
from imgcls.durations import Duration
from imgcls.parts import Section


class _SchemaGenerator(GenerateJsonSchema):
    """Writes default durations as text, such as `5m`, and takes short forms of sections."""

    def encode_default(self, dft: Any) -> Any:
        """Return a default as JSON."""
        return str(dft) if isinstance(dft, Duration) else super().encode_default(dft)

    def model_schema(self, schema: core_schema.ModelSchema) -> dict[str, Any]:
        """Return the schema of a section."""
        full, short = super().model_schema(schema), schema["cls"].short
        if short is None:
            return full
        alone = {key: each for key, each in full["properties"][short].items() if key != "default"}
        return {
            "description": full["description"],
            "if": {"type": "object"},
            "then": full,
            "else": alone,
        }

    def nullable_schema(self, schema: core_schema.NullableSchema) -> dict[str, Any]:
        """Return the schema of a value or null."""
        inner = self.generate_inner(schema["schema"])
        if "$ref" in inner:
            return {"if": {"type": "null"}, "else": inner}
        return super().nullable_schema(schema)


def make_json_schema() -> dict[str, Any]:
    """Return the JSON Schema of experiment files; with `extends:`, no other key is required."""
    schema = Experiment.model_json_schema(schema_generator=_SchemaGenerator)
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "An experiment file, relative to this one, whose values this one overrides.",
    }
    required = schema.pop("required")
    inner = {key: _take_required(schema["properties"][key]) for key in ("data", "model")}
    schema["if"] = {"required": ["extends"]}
    schema["else"] = {"required": required, "properties": inner}
    return schema


def make_section_schema(section: type[Section]) -> dict[str, Any]:
    """Return the JSON Schema of a section."""
    return section.model_json_schema(schema_generator=_SchemaGenerator)


def _take_required(part: dict[str, Any]) -> dict[str, Any]:
    """Remove from a part's rules the keys that they require, and return rules with these alone."""
    rules = []
    for rule in part["allOf"]:
        if keys := rule["then"].pop("required", None):
            rules.append({"if": rule["if"], "then": {"required": keys}})
    return {"description": part["description"], "allOf": rules}
