"""Writes docs/commands.md from the output of `imgcls COMMAND --help`.

Run `python scripts/document_commands.py`. A test fails if the page is out of date.
"""

from pathlib import Path

from typer.testing import CliRunner

from imgcls.cli.main import COMMANDS, app

PAGE = Path(__file__).parent.parent / "docs" / "commands.md"
PLAIN = {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
"""A terminal of 80 columns, without colors."""
START = """# Commands

The output of `--help`, written by `make docs`. [Numbers](numbers.md#exit-codes) lists the exit
codes.
"""


def make_page() -> str:
    """Return the page: the help of `imgcls`, then that of each command."""
    sections = [_make_section("imgcls", [])]
    sections += [_make_section(f"imgcls {name}", [name]) for name in COMMANDS]
    return "\n".join([START, *sections])


def _make_section(title: str, arguments: list[str]) -> str:
    """Return a heading and the help of a command.

    Raises:
        RuntimeError: the command failed.
    """
    result = CliRunner().invoke(app, [*arguments, "--help"], prog_name="imgcls", env=PLAIN)
    if result.exit_code:
        raise RuntimeError(f"{title} --help exited with {result.exit_code}: {result.output}")
    lines = "\n".join(line.rstrip() for line in result.stdout.splitlines())
    return f"## {title}\n\n```text\n{lines.strip()}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(make_page())
