"""The results of a demonstration as the tables of docs/transfer.md."""

from collections.abc import Mapping, Sequence

from bench.transfer._measure import Difference, Results, Trained
from imgcls.evaluation.intervals import Interval
from imgcls.evaluation.spread import compute_spread

CONFIDENCE = 0.95


def format_tables(results: Results, task: str, titles: Mapping[str, str]) -> str:
    """Return the tables of one data set in Markdown.

    Args:
        titles: of the methods, in their order; others are left out.
    """
    trained = {
        method: [run for run in results.trained if (run.task, run.method) == (task, method)]
        for method in titles
    }
    pairs: dict[tuple[str, str], list[Difference]] = {}
    for found in results.differences:
        if found.task == task:
            pairs.setdefault((found.new, found.old), []).append(found)
    lines = [
        "| training | runs | test accuracy | interval of the mean | interval of a run"
        " | CPU time a run |",
        "|---|---|---|---|---|---|",
        *(_format_method(titles[method], runs) for method, runs in trained.items() if runs),
        "",
        "| difference in test accuracy | mean | interval of the mean | interval of a pair"
        " | above 0 |",
        "|---|---|---|---|---|",
        *(_format_pair(found, titles) for found in pairs.values()),
    ]
    return "\n".join(lines) + "\n"


def _format_method(title: str, runs: Sequence[Trained]) -> str:
    spread = compute_spread([each.accuracy for each in runs], CONFIDENCE)
    seconds = sum(each.cpu_seconds for each in runs) / len(runs)
    cells = [
        title,
        str(len(runs)),
        _format_mean(spread.mean, spread.std),
        _format_interval(spread.interval),
        _format_width([each.interval for each in runs]),
        f"{seconds:.0f} s",
    ]
    return f"| {' | '.join(cells)} |"


def _format_pair(pairs: Sequence[Difference], titles: Mapping[str, str]) -> str:
    spread = compute_spread([each.difference for each in pairs], CONFIDENCE)
    above = sum(each.interval[0] > 0 for each in pairs)
    cells = [
        f"{titles[pairs[0].new]} instead of {titles[pairs[0].old]}",
        _format_mean(spread.mean, spread.std, "+"),
        _format_interval(spread.interval, "+"),
        _format_width([each.interval for each in pairs]),
        f"{above} of {len(pairs)}",
    ]
    return f"| {' | '.join(cells)} |"


def _format_mean(mean: float | None, std: float | None, sign: str = "") -> str:
    spread = "" if std is None else f" ± {std:.3f}"
    return f"{mean:{sign}.3f}{spread}"


def _format_interval(interval: Interval | None, sign: str = "") -> str:
    if interval is None:
        return "-"
    return f"{interval[0]:{sign}.3f} to {interval[1]:{sign}.3f}"


def _format_width(intervals: Sequence[Interval]) -> str:
    """Return half of the widest interval."""
    return f"± {max(high - low for low, high in intervals) / 2:.3f}"
