"""How commands print their help. Light zone."""

from typing import Any

from typer.core import TyperCommand, TyperGroup

CONTEXT = {"help_option_names": ["-h", "--help"]}
"""The options that print the help."""


def _hide_types_of_flags(parameters: list[Any]) -> list[Any]:
    """Print no `<bool>` beside an option that takes no value."""
    for each in parameters:
        if getattr(each, "is_flag", False):
            each.metavar = ""
    return parameters


class Command(TyperCommand):
    """A command whose help shows a type only where there is a value."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, with that of `--help`."""
        return _hide_types_of_flags(super().get_params(ctx))


class Group(TyperGroup):
    """The command `imgcls` itself, whose help is like that of its commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, with that of `--help`."""
        return _hide_types_of_flags(super().get_params(ctx))
