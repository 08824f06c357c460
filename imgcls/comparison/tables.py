"""The tables of a comparison, for the text report and the page. Light zone."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import JsonValue

from imgcls.comparison.record import Comparison, PairComparison, SettingDifference
from imgcls.evaluation.spread import Spread
from imgcls.metrics import Number

Rows = list[dict[str, Any]]


def list_folders(comparison: Comparison) -> dict[str, str]:
    """Return the folder of each candidate, and of a family the number of its runs, by label."""
    folders = [
        f"{each.folder} ({len(each.runs)} runs by {each.by})" if each.by else each.folder
        for each in comparison.candidates
    ]
    return _label(comparison, folders)


def make_metric_rows(pair: PairComparison) -> Rows:
    """Return a table of the differences in metrics, those with an interval first; without those
    that are undefined on both sides.
    """
    return [
        {
            "metric": each.metric,
            "old": each.old,
            "new": each.new,
            "difference": each.difference,
            "interval": each.interval,
        }
        for each in sorted(pair.metrics, key=lambda each: each.interval is None)
        if each.old is not None or each.new is not None
    ]


def make_spread_rows(comparison: Comparison, pair: PairComparison) -> Rows:
    """Return a table of the spread of families, of the metrics that have intervals; empty if both
    are runs.
    """
    old, new = (comparison.find(folder).spreads for folder in (pair.old, pair.new))
    return [
        {
            "metric": each.metric,
            **_describe_spread("old", old.get(each.metric)),
            **_describe_spread("new", new.get(each.metric)),
            "interval": each.interval_over_runs,
        }
        for each in pair.metrics
        if each.conclusion and (old or new)
    ]


def _describe_spread(label: str, spread: Spread | None) -> dict[str, Number]:
    return {
        f"{label}_mean": spread.mean if spread else None,
        f"{label}_std": spread.std if spread else None,
    }


def make_class_rows(pair: PairComparison) -> Rows:
    """Return a table of the classes whose images became right or wrong."""
    return [
        {
            "class": each.name,
            "images": each.images,
            "old_recall": each.old,
            "new_recall": each.new,
            "gained": _to_integer(each.gained),
            "lost": _to_integer(each.lost),
            **({} if each.p_value is None else {"p_value": each.p_value}),
        }
        for each in pair.classes
        if each.gained or each.lost
    ]


def make_property_rows(comparison: Comparison) -> Rows:
    """Return a table of the size and training of each candidate's model."""
    columns = [each.properties.model_dump() for each in comparison.candidates]
    return [
        {
            "property": key,
            **_label(comparison, [_to_integer(column[key]) for column in columns]),
        }
        for key in columns[0]
    ]


def list_differences(comparison: Comparison) -> dict[str, list[SettingDifference] | None]:
    """Return what differs, by a title; None for what could not be compared."""
    return {
        "settings": comparison.settings,
        "environment": comparison.environment,
        "data": comparison.data,
    }


def make_difference_rows(comparison: Comparison, found: list[SettingDifference]) -> Rows:
    """Return a table of settings that differ."""
    return [
        {"key": each.key, **_label(comparison, list(map(_to_text, each.values)))} for each in found
    ]


def _label(comparison: Comparison, values: Sequence[Any]) -> dict[str, Any]:
    """Return the values of the candidates by label."""
    return dict(zip(comparison.labels, values, strict=True))


def _to_integer(value: Number) -> Number:
    """Return a whole number as an integer, so that it is shown without decimals."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _to_text(value: JsonValue) -> str:
    """Return a setting as JSON; a number that was set is not rounded."""
    return value if isinstance(value, str) else json.dumps(value)
