"""runs/index.html: all runs in one table that sorts by a click, with links to their pages. Light
zone.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imgcls.io import files
from imgcls.report import html
from imgcls.report.html import Chapter, Link
from imgcls.result_folder import ResultFolder


def write_page(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the page.

    Args:
        rows: of the runs, with the same keys.
        path: of the page, in the folder that holds the runs.

    Raises:
        UserError: the file cannot be written.
    """
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["status"]] = counts.get(row["status"], 0) + 1
    facts = {status: str(count) for status, count in counts.items()}
    table = html.render_table([_make_row(row, path.parent) for row in rows])
    sections: list[str | Chapter] = [html.render_pairs(facts), Chapter("All runs", table)]
    files.write_text(path, html.make_page("Runs", sections))


def _make_row(row: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a row of the table, whose first cell leads to the page of the run, if it has one."""
    page = ResultFolder(Path(row["run"])).report_page
    name: str | Link = row["run"]
    if page.is_file():
        name = Link(row["run"], page.relative_to(folder).as_posix())
    reproduction = row["reproduction"]
    return {
        **row,
        "run": name,
        "reproduction": reproduction.describe() if reproduction else None,
    }
