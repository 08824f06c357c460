"""How commands print their help, and what typer says of their arguments. Light zone."""

import contextlib
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from imgcls.io.terminal import to_printable_text

CONTEXT = {"help_option_names": ["-h", "--help"]}
"""The options that print the help."""


def _hide_types_of_flags(parameters: list[Any]) -> list[Any]:
    """Print no `<bool>` beside an option that takes no value."""
    for each in parameters:
        if getattr(each, "is_flag", False):
            each.metavar = ""
    return parameters


@contextlib.contextmanager
def _escape_mistakes() -> Iterator[None]:
    """Escape what typer quotes of the command line, which may reverse the direction of writing."""
    try:
        yield
    except typer.TyperException as error:
        error.message = to_printable_text(error.message)
        raise


class Command(TyperCommand):
    """A command whose help shows a type only where there is a value."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, with that of `--help`."""
        return _hide_types_of_flags(super().get_params(ctx))

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Parse the arguments."""
        with _escape_mistakes():
            return super().make_context(*arguments, **options)


class Group(TyperGroup):
    """The command `imgcls` itself, whose help is like that of its commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, with that of `--help`."""
        return _hide_types_of_flags(super().get_params(ctx))

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Parse the arguments."""
        with _escape_mistakes():
            return super().make_context(*arguments, **options)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command."""
        with _escape_mistakes():
            return super().resolve_command(ctx, args)
