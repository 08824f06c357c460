"""The command `parts`: the parts that an experiment can name, and what models cost. Light zone."""

import re
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from imgcls import name_value, parts
from imgcls.errors import UserError
from imgcls.experiment_problems import describe
from imgcls.io import yaml_file
from imgcls.models import ModelSettings, Problem
from imgcls.part_description import describe_part, find_parts, format_part

SET_FORM = "MODEL.KEY=VALUE, such as resnet.depth=56"


def list_parts(
    kind: str | None, shape: str | None, classes: int | None, overrides: Sequence[str]
) -> dict[str, str] | list[dict[str, Any]]:
    """List the parts of a kind, or of all kinds, or the settings of a part; with a shape, what each
    model costs.

    Args:
        kind: or the name of a part, which several kinds can have, or `kind/name`.
        shape: of the images, such as `32x32x3`: height, width, channels.
        classes: number of classes, with a shape.
        overrides: settings of models, such as `resnet.depth=56`; all others have their defaults.

    Returns:
        The summaries, by `kind/name`; or of each part of that name what `describe_part` returns; or
        rows with the keys `model`; `parameters`, `multiply_adds`,
        `model_mib` and `image_mib` (see `Cost` of imgcls/models/_cost.py), None if the model cannot
        be built; and `error`, why it cannot, or None.

    Raises:
        UserError: there is no such kind or part, or an option is wrong.
    """
    if shape is None:
        for option, value in (("--classes", classes), ("--set", list(overrides))):
            if value:
                raise UserError(f"{option} needs --shape, such as --shape 32x32x3")
        found = find_parts(kind) if kind else []
        return [describe_part(*each) for each in found] or parts.describe(kind)
    if kind != "models":
        raise UserError("--shape is for `imgcls parts models`: only models have a cost")
    if classes is None:
        raise UserError("--shape needs --classes, the number of classes, such as --classes 10")
    settings = _read_settings(overrides)
    sizes = _parse_shape(shape)
    return [_measure(each, sizes, classes) for each in settings.values()]


def format_parts(result: dict[str, str] | list[dict[str, Any]]) -> str:
    """Format what `list_parts` returned."""
    from imgcls.report.tables import format_pairs, format_table

    if isinstance(result, dict):
        return format_pairs(result)
    if result and "settings" in result[0]:
        return "\n\n\n".join(map(format_part, result))
    built = [row for row in result if row["error"] is None]
    lines = [
        "multiply_adds: of one image, without training. Training takes model_mib (float32",
        "weights, gradients, Adam's two moments) + image_mib per image of a micro-batch",
        "(what the forward pass keeps for the backward pass), and what kernels need.",
        "",
        format_table(
            [{key: _round(value) for key, value in row.items() if key != "error"} for row in built]
        ),
    ]
    failed = {row["model"]: row["error"] for row in result if row["error"] is not None}
    return "\n".join([*lines, *(["", format_pairs(failed)] if failed else [])])


def _round(value: Any) -> Any:
    return f"{value:,.1f}" if isinstance(value, float) else value


def _parse_shape(text: str) -> tuple[int, int, int]:
    if not re.fullmatch(r"[1-9]\d{0,4}(x[1-9]\d{0,4}){2}", text):
        raise UserError(
            f"--shape is {text}, but must be height, width and channels, such as 32x32x3"
        )
    height, width, channels = map(int, text.split("x"))
    return height, width, channels


def _read_settings(overrides: Sequence[str]) -> dict[str, ModelSettings]:
    """Return the settings of all models, by name."""
    mappings: dict[str, dict[str, Any]] = {
        name: {"name": name} for name in parts.list_names("models")
    }
    for text in overrides:
        path, value = name_value.parse_pair("--set", text, SET_FORM)
        name, dot, key = path.partition(".")
        if not dot or name not in mappings:
            raise UserError(
                f"--set {text}: needs the form {SET_FORM}; the models are {', '.join(mappings)}"
                f"{parts.suggest(name, mappings)}"
            )
        if key == "name":
            raise UserError(f"--set {text}: each model has its own name; set another key")
        mappings[name][key] = yaml_file.parse(value, f"--set {text}").value
    return {name: _validate(name, mapping) for name, mapping in mappings.items()}


def _validate(name: str, mapping: dict[str, Any]) -> ModelSettings:
    try:
        settings: ModelSettings = parts.load("models", name).Settings.model_validate(mapping)
    except ValidationError as error:
        problems = [
            f"--set {'.'.join([name, *map(str, each['loc'])])}: {describe(each)}"
            for each in error.errors(include_url=False)
        ]
        raise UserError("\n".join(problems)) from None
    return settings


def _measure(settings: ModelSettings, shape: tuple[int, int, int], classes: int) -> dict[str, Any]:
    """Build a model and return its row."""
    from imgcls.backend import keras
    from imgcls.models import _cost

    channels = shape[2]
    problem = Problem(classes, mean=[0.0] * channels, std=[1.0] * channels, dropout_seed=0)
    images = keras.Input(shape, dtype="uint8", name="images")
    try:
        logits = parts.load_for("models", settings).build(settings, images, problem)
    except UserError as error:
        cost = dict.fromkeys(_cost.Cost._fields)
        return {"model": settings.name, **cost, "error": str(error)}
    cost = _cost.measure(keras.Model(images, logits))._asdict()
    return {"model": settings.name, **cost, "error": None}
