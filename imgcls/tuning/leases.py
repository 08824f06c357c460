"""Leases: which command works on which trial. Light zone.

A command that was killed leaves its trials running in the study. Optuna's heartbeat would fail them
and add others; here another command takes a trial over in place, so that every trial is one row
from its first start to its end. A lease is a row in a table beside Optuna's, which changes hands by
compare-and-set: of several commands that want a trial, one gets it.
"""

import os
import secrets
import socket
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from imgcls.io import files
from imgcls.tuning.folder import StudyFolder

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Engine

RENEWAL = 5.0
"""Seconds between two renewals of the leases of a command."""
GRACE = 60.0
"""Seconds after which a lease without renewal is taken over, unless its command is known to have
ended."""


class Leases:
    """The leases of a study, as one command sees them.

    Args:
        study: the name of the study in the database.
        grace: seconds, as `GRACE`.

    Attributes:
        tuner: the name of this command: its host, process and a random number.
    """

    def __init__(
        self, engine: "Engine", study: str, folder: StudyFolder, grace: float = GRACE
    ) -> None:
        from sqlalchemy import Column, Integer, MetaData, String, Table

        self.tuner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._engine, self._study, self._folder, self._grace = engine, study, folder, grace
        self._table = Table(
            "imgcls_leases",
            MetaData(),
            Column("study", String(512), primary_key=True),
            Column("trial", Integer, primary_key=True, autoincrement=False),
            Column("tuner", String(512), nullable=False),
            Column("renewals", Integer, nullable=False),
        )
        self._seen: dict[int, tuple[tuple[str, int] | None, float]] = {}

    def create_table(self) -> None:
        """Create the table if it is missing; the caller must hold the lock of the folder."""
        self._table.metadata.create_all(self._engine)

    def acquire(self, trial: int) -> bool:
        """Take the lease of a trial that runs, if no command works on it; return whether it is
        this one's now.
        """
        found = self._read(trial)
        if found is None:
            return self._is_stale(trial, None) and self.insert(trial)
        tuner, renewals = found
        if tuner == self.tuner:
            return True
        if not self._has_ended(tuner) and not self._is_stale(trial, found):
            return False
        values = {"tuner": self.tuner, "renewals": renewals + 1}
        return self._update(self._match(trial, tuner, renewals), values)

    def insert(self, trial: int) -> bool:
        """Take the lease of a trial that has none, as right after it was asked for."""
        from sqlalchemy.exc import IntegrityError

        values = {"study": self._study, "trial": trial, "tuner": self.tuner, "renewals": 0}
        try:
            with self._engine.begin() as connection:
                connection.execute(self._table.insert().values(values))
        except IntegrityError:
            return False
        return True

    def renew(self, trials: Iterable[int]) -> list[int]:
        """Renew leases; return the trials whose leases another command has taken over."""
        lost = []
        for trial in trials:
            values = {"renewals": self._table.c.renewals + 1}
            if not self._update(self._match(trial, self.tuner), values):
                lost.append(trial)
        return lost

    def release(self, trial: int) -> None:
        """Give a lease back, so that any command may go on with the trial at once."""
        with self._engine.begin() as connection:
            connection.execute(
                self._table.update()
                .where(self._match(trial, self.tuner))
                .values(tuner="", renewals=self._table.c.renewals + 1)
            )

    def _read(self, trial: int) -> tuple[str, int] | None:
        columns = self._table.c
        with self._engine.connect() as connection:
            query = self._table.select().where(self._match(trial))
            row = connection.execute(query.with_only_columns(columns.tuner, columns.renewals))
            found = row.first()
        return None if found is None else (found[0], found[1])

    def _match(
        self, trial: int, tuner: str | None = None, renewals: int | None = None
    ) -> "ColumnElement[bool]":
        columns = self._table.c
        condition = (columns.study == self._study) & (columns.trial == trial)
        if tuner is not None:
            condition &= columns.tuner == tuner
        return condition if renewals is None else condition & (columns.renewals == renewals)

    def _update(self, condition: "ColumnElement[bool]", values: Mapping[str, object]) -> bool:
        with self._engine.begin() as connection:
            done = connection.execute(self._table.update().where(condition).values(values))
            return done.rowcount == 1

    def _is_stale(self, trial: int, found: tuple[str, int] | None) -> bool:
        """Return whether a lease has been seen unchanged for the grace period.

        It is measured by this process's clock: those of two hosts may differ.
        """
        before, since = self._seen.get(trial, (None, None))
        if since is None or before != found:
            self._seen[trial] = (found, time.monotonic())
            return self._grace == 0
        return time.monotonic() - since >= self._grace

    def _has_ended(self, tuner: str) -> bool:
        """Return whether a command is known to have ended: it gave the lease back, or its lock on
        this host is free.
        """
        if not tuner:
            return True
        lock = self._folder.tuner_lock(tuner)
        is_here = tuner.partition(":")[0] == socket.gethostname()
        return is_here and lock.exists() and not files.is_locked(lock)
