"""The command `imgcls`: its table of commands, and the one place that turns errors into exit
codes. Light zone.
"""

import contextlib
import errno
import functools
import inspect
import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NoReturn

import typer

from imgcls import __version__
from imgcls.cli.audit import audit
from imgcls.cli.check import check
from imgcls.cli.compare import compare
from imgcls.cli.compress import compress
from imgcls.cli.doctor import doctor
from imgcls.cli.eval import evaluate
from imgcls.cli.explain import explain
from imgcls.cli.export import export
from imgcls.cli.help import CONTEXT, Command, Group
from imgcls.cli.init import init
from imgcls.cli.parts import parts
from imgcls.cli.plot import plot
from imgcls.cli.predict import predict
from imgcls.cli.prepare import prepare
from imgcls.cli.reproduce import reproduce
from imgcls.cli.run import run_all
from imgcls.cli.runs import runs
from imgcls.cli.schema import schema
from imgcls.cli.train import train
from imgcls.cli.tune import tune
from imgcls.cli.verify import verify
from imgcls.errors import ProcessRestart, UserError, get_exit_code
from imgcls.io import restart, signals, terminal
from imgcls.io.terminal import to_printable, to_printable_text

COMMANDS: dict[str, Callable[..., None]] = {
    "init": init,
    "run": run_all,
    "prepare": prepare,
    "verify": verify,
    "audit": audit,
    "train": train,
    "tune": tune,
    "eval": evaluate,
    "plot": plot,
    "predict": predict,
    "explain": explain,
    "export": export,
    "compress": compress,
    "compare": compare,
    "reproduce": reproduce,
    "check": check,
    "doctor": doctor,
    "parts": parts,
    "runs": runs,
    "schema": schema,
}


def _handle_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command so that every error ends in a message on stderr and its exit code."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            with _explain_full_stdout():
                command(*arguments, **options)
                sys.stdout.flush()
        except UserError as error:
            if isinstance(error, ProcessRestart) and command in (run_all, train, compress):
                raise  # main continues the run
            _fail(str(error), error)
        except MemoryError as error:
            _fail(
                "out of memory on the host; close other programs, or lower train.batch_size", error
            )
        except BrokenPipeError:
            _discard_stdout()  # the reader has closed the pipe, as head does
        except KeyboardInterrupt as error:
            _fail("interrupted; nothing is lost, run the same command again to continue", error)
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
                message = f"{error.filename}: the name is too long; give a shorter one"
                _fail(message, UserError(message))
            traceback.print_exc()
            _fail("this is a bug in imgcls; please report it with the lines above", error)

    return run


@contextlib.contextmanager
def _explain_full_stdout() -> Iterator[None]:
    """Raise a `UserError` if the device behind stdout is full, as is done for files."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _discard_stdout()
        raise UserError(
            "the device behind stdout is full; send the result elsewhere and run the command again"
        ) from None


def _discard_stdout() -> None:
    """Discard the rest of the output, which Python would try to write once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _fail(message: str, error: BaseException) -> NoReturn:
    text = "\n".join([message, *getattr(error, "__notes__", [])])
    for line in text.split("\n"):
        print(f"imgcls: {to_printable(line)}", file=sys.stderr)
    raise typer.Exit(get_exit_code(error))


def _join_lines(function: Callable[..., None]) -> str:
    """Return a docstring with each paragraph on one line, for the terminal to wrap."""
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    return "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)


app = typer.Typer(
    cls=Group, context_settings=CONTEXT, no_args_is_help=True, pretty_exceptions_enable=False
)
for name, function in COMMANDS.items():
    app.command(name, cls=Command, context_settings=CONTEXT, help=_join_lines(function))(
        _handle_errors(function)
    )


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


def imgcls(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Train and evaluate image classifiers from one YAML file.

    Exit codes: 0 done, 1 a bug in imgcls, 2 command line or experiment file wrong, 3 data missing,
    broken or changed, 4 training diverged, 5 out of memory, 6 a gate failed, 75 interrupted with
    the state saved.
    """


app.callback(help=_join_lines(imgcls))(imgcls)


def main() -> None:
    """Run this process's command line, and exit with its exit code."""
    signals.interrupt_at_stop_signals()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A class may have a name that the terminal's encoding lacks; stderr escapes by default.
        sys.stdout.reconfigure(errors="backslashreplace")
    restart.mark_start()
    try:
        with _explain_full_stdout():
            app()
    except ProcessRestart as error:
        terminal.note(f"{error.reason}; continuing in a new process")
        restart.replace_process()
    except UserError as error:  # from what typer itself prints, such as --help
        print(f"imgcls: {to_printable_text(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
