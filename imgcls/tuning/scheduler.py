"""Runs the trials of a study in the jobs of one command: one loop, without threads. Light zone."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pydantic import ValidationError

from imgcls.errors import Interrupted
from imgcls.io import files, terminal
from imgcls.io.signals import StopRequest
from imgcls.tuning import database, outcome, proposals, study
from imgcls.tuning.job import IMGCLS, Job, list_commands
from imgcls.tuning.leases import RENEWAL
from imgcls.tuning.slots import Slot
from imgcls.tuning.study import TIME, OpenStudy

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.trial import FrozenTrial

POLL = 0.05
"""Seconds between two looks at the processes."""
WAIT = 0.5
"""Seconds between two looks for trials whose command has ended."""


class Scheduler:
    """The jobs of this command.

    Args:
        opened: the study.
        slots: what each job runs on.
        stop: whether a signal asks to stop.
        program: the command line of a trial, before the words of its command.
        show: called when a trial starts or ends, and while trials run.

    Attributes:
        running: the trials of this command.
    """

    def __init__(
        self,
        opened: OpenStudy,
        slots: Sequence[Slot],
        stop: StopRequest,
        program: Sequence[str] = IMGCLS,
        show: Callable[["Scheduler", int | None], None] = lambda scheduler, number: None,
    ) -> None:
        self.opened, self.running = opened, list[Job]()
        self._slots, self._stop, self._program, self._show = slots, stop, program, show
        self._started = self._renewed = time.monotonic()
        self._spent_before = 0.0
        self._looked = -WAIT

    def run(self) -> None:
        """Run trials until all are done, those of other commands too, which may end before.

        Raises:
            Interrupted: a signal stopped it, or the database was lost. Trainings have saved their
                state.
            UserError: every trial would fail, as if the disk is full.
        """
        lock = self.opened.folder.tuner_lock(self.opened.leases.tuner)
        with files.hold_lock(lock):  # by which others on this host see that this command works
            try:
                with database.explain_errors(self.opened.url):
                    self._spent_before = self.opened.count_spent()
                    while self._fill() or self.running or self._has_others():
                        pause = POLL if self.running else WAIT
                        self._require_no_stop()
                        self._renew()
                        for job in list(self.running):
                            self._advance(job)
                        self._show(self, None)
                        time.sleep(pause)
            finally:
                self._stop_jobs()
            with database.explain_errors(self.opened.url):
                self.opened.record_spent(time.monotonic() - self._started)
            lock.unlink()  # after a failure, it stays, since leases may still have its name

    def _has_others(self) -> bool:
        """Return whether trials of other commands run, which this one takes over if they end."""
        return any(not trial.state.is_finished() for trial in self.opened.list_trials())

    def _require_no_stop(self) -> None:
        if self._stop.reason:
            raise Interrupted(self._stop.reason, "run the same command again to continue")

    def _renew(self) -> None:
        """Renew the leases; end what another command has taken over."""
        now = time.monotonic()
        if now - self._renewed < RENEWAL:
            return
        self._renewed = now
        lost = self.opened.leases.renew([job.number for job in self.running])
        for job in [each for each in self.running if each.number in lost]:
            self._give_up(job)
        self.opened.record_spent(now - self._started)

    def _give_up(self, job: Job) -> None:
        terminal.note(
            f"trial {job.number}: this command did not respond, and another one has taken the trial"
            " over; its late result is refused"
        )
        job.stop()
        job.wait()
        if job in self.running:
            self.running.remove(job)

    def _fill(self) -> bool:
        """Start trials in the free slots; return whether any may still be started later."""
        free = [slot for slot in self._slots if slot not in [job.slot for job in self.running]]
        for slot in free:
            trial = self._adopt() or self._ask()
            if trial is None:
                return False
            self._start(trial, slot)
        return True

    def _adopt(self) -> "Trial | None":
        """Return a trial of a command that has ended, to go on with; None if there is none."""
        import optuna

        now = time.monotonic()
        if now - self._looked < WAIT:
            return None
        own = {job.number for job in self.running}
        for frozen in self.opened.list_trials():
            is_open = not frozen.state.is_finished() and frozen.number not in own
            if is_open and self.opened.leases.acquire(frozen.number):
                return optuna.Trial(self.opened.study, frozen._trial_id)
        self._looked = now
        return None

    def _ask(self) -> "Trial | None":
        """Return a new trial; None if there are enough, or the time is used up."""
        trials = self.opened.list_trials()
        limit = self.opened.count
        if (limit is not None and len(trials) >= limit) or not self._is_in_budget(trials):
            return None
        trial = self.opened.study.ask()
        self.opened.leases.insert(trial.number)
        return trial

    def _is_in_budget(self, trials: "Sequence[FrozenTrial]") -> bool:
        """Return whether a trial that takes as long as most would end in time."""
        budget = self.opened.tune.budget
        if budget is None:
            return True
        times = [each.user_attrs[TIME] for each in trials if TIME in each.user_attrs]
        expected = statistics.median(times) if times else 0.0
        spent = self._spent_before + time.monotonic() - self._started
        return spent + expected <= budget.seconds

    def _is_surplus(self, trial: "Trial") -> bool:
        """Return whether another command asked for the last trial that was left at the same time.

        Numbers are given once, so that of two the same one is withdrawn by whoever sees it.
        """
        limit = self.opened.count
        earlier = [each for each in self.opened.list_trials() if each.number < trial.number]
        return limit is not None and len(earlier) >= limit

    def _start(self, trial: "Trial", slot: Slot) -> None:
        opened = self.opened
        if self._is_surplus(trial):
            trial.set_user_attr(study.WITHDRAWN, True)
            outcome.tell_failure(opened, trial, "another command did the last trial")
            return
        chosen = proposals.propose(trial, opened.space, opened.fixed)
        names = [*opened.tune.objective, *opened.tune.limits]
        commands = list_commands(opened.folder, trial.number, names, outcome.list_options(opened))
        job = Job(trial, slot, opened.folder, chosen, commands, self._program)
        frozen = opened.study.get_trials(deepcopy=False)[trial.number]
        job.reported = set(frozen.intermediate_values)
        try:
            experiment = opened.space.apply(chosen)
        except ValidationError as error:
            reason = f"these values do not go together: {error.errors()[0]['msg']}"
            self._end(job, lambda: outcome.tell_failure(opened, trial, reason))
            return
        files.write_text(opened.folder.trial_file(trial.number), experiment.to_yaml())
        self.running.append(job)
        self._show(self, None)

    def _advance(self, job: Job) -> None:
        """Look at the processes of a trial, and do what comes next."""
        if job.process is None:
            if not job.is_locked():
                job.start_next()
            return
        code = job.poll()
        if code is None:
            if outcome.should_prune(self.opened, job):
                job.is_pruned = True
                job.stop()
            return
        job.process = None
        if job.is_pruned and code != 0:
            self._end(job, lambda: outcome.tell_pruned(self.opened, job))
        elif code == 0:
            job.commands.pop(0)
            job.interruptions, job.is_pruned = 0, False  # it ended before it could be stopped
            if not job.commands:
                self._end(job, lambda: outcome.tell_result(self.opened, job))
        elif not outcome.goes_on(job, code):
            outcome.require_no_general_failure(self.opened, job, code)
            self._end(job, lambda: outcome.tell_failed_exit(self.opened, job, code))

    def _end(self, job: Job, tell: Callable[[], None]) -> None:
        """Record the end of a trial, unless another command has taken it over meanwhile."""
        if self.opened.leases.renew([job.number]):
            self._give_up(job)
            return
        job.trial.set_user_attr(TIME, round(time.monotonic() - job.started, 2))
        tell()
        if job in self.running:
            self.running.remove(job)
        self._show(self, job.number)

    def _stop_jobs(self) -> None:
        """Stop what still runs, and let any command go on with it."""
        for job in self.running:
            job.stop()
        for job in self.running:
            job.wait()
        if self.running:
            with database.explain_errors(self.opened.url):
                for job in self.running:
                    self.opened.leases.release(job.number)
        self.running.clear()
