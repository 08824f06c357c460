"""The database of a study: SQLite in its folder, or PostgreSQL for several hosts. Light zone.

Optuna and SQLAlchemy are imported inside functions; they are the extra `tune`.
"""

import contextlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from imgcls.errors import Interrupted, UserError
from imgcls.tuning.folder import StudyFolder

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy import Engine

SQLITE_TIMEOUT = 60
"""Seconds to wait for another process that writes."""
CONNECT_TIMEOUT = 10
"""Seconds to wait for a server."""
_CREATION_LOCK = 7133650
"""The number of the advisory lock that is held while tables are created in PostgreSQL."""
_SERVER = "postgresql"


def require_optuna() -> None:
    """Check that the extra is installed, and let Optuna print errors only.

    Raises:
        UserError: it is not.
    """
    try:
        import optuna
    except ImportError as error:
        raise UserError(
            f"tune needs Optuna 5 ({error}); install it with: pip install 'imgcls[tune]'"
        ) from None
    if int(optuna.__version__.split(".")[0]) < 5:
        raise UserError(
            f"tune needs Optuna 5, and {optuna.__version__} is installed; update it with: pip"
            " install 'imgcls[tune]'"
        )
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def make_url(folder: StudyFolder, storage: str | None) -> str:
    """Return the address of a study's database.

    Args:
        storage: of a server; None for SQLite in the folder.

    Raises:
        UserError: it is not an address of PostgreSQL.
    """
    if storage is None:
        return f"sqlite:///{folder.database_file}"
    scheme, mark, rest = storage.partition("://")
    if not mark or scheme.partition("+")[0] != _SERVER:
        raise UserError(
            f"--storage {scheme}: needs the address of a PostgreSQL database, such as"
            " postgresql://user@host/database; without --storage, the study is a file in its folder"
        )
    return f"{_SERVER}+psycopg://{rest}"


def hide_password(url: str) -> str:
    """Return an address for messages."""
    from sqlalchemy import engine

    return engine.make_url(url).render_as_string(hide_password=True)


def open_storage(url: str) -> "RDBStorage":
    """Return Optuna's storage, whose tables are created if they are missing; the caller must hold
    the lock of the folder.

    Raises:
        UserError: the database cannot be reached, or the driver is not installed.
    """
    from optuna.storages import RDBStorage
    from sqlalchemy import create_engine, text

    is_server = url.startswith(_SERVER)
    wait = {"connect_timeout": CONNECT_TIMEOUT} if is_server else {"timeout": SQLITE_TIMEOUT}
    arguments = {"connect_args": wait, "pool_pre_ping": is_server}
    try:
        with explain_errors(url, is_start=True), contextlib.ExitStack() as stack:
            if is_server:  # two hosts must not create the tables at once
                engine = create_engine(url, connect_args=wait)
                stack.callback(engine.dispose)
                connection = stack.enter_context(engine.connect())
                connection.execute(text(f"SELECT pg_advisory_lock({_CREATION_LOCK})"))
            return RDBStorage(url, engine_kwargs=arguments)
    except ImportError as error:
        raise UserError(
            f"--storage needs the driver of PostgreSQL ({error}); install it with: pip install"
            " 'imgcls[tune]'"
        ) from None


@contextlib.contextmanager
def explain_errors(url: str, is_start: bool = False) -> Iterator[None]:
    """Convert errors of a database to one line that says what to do.

    Args:
        is_start: whether it is reached for the first time; later, it was interrupted.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import ArgumentError, DBAPIError

    try:
        yield
    except ArgumentError as error:
        raise UserError(f"--storage is not an address: {error}") from None
    except (DBAPIError, StorageInternalError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        reason = str(getattr(cause, "orig", None) or cause).strip().splitlines()
        name = f"the study's database {hide_password(url)}"
        text = reason[0] if reason else type(error).__name__
        if "disk is full" in text:
            raise UserError(
                f"the disk is full: cannot write {name}; free some space and run the same command"
                " again"
            ) from None
        if is_start:
            raise UserError(
                f"cannot reach {name}: {text}; start it, or correct --storage"
            ) from None
        raise Interrupted(
            f"lost {name}: {text}", "run the same command again to continue"
        ) from None


def get_engine(storage: "RDBStorage") -> "Engine":
    """Return the connections of a storage."""
    engine: Engine = storage.engine
    return engine
