"""An Optuna sampler that is built anew for each trial. Heavy zone."""

from collections.abc import Callable, Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial


class NumberedSampler(BaseSampler):
    """Proposes what a sampler does that is built for the number of a trial.

    Args:
        fixed: the proposals of the first trials, by key.
        build: returns the sampler for a number; None if all trials are fixed.
    """

    def __init__(
        self, fixed: Sequence[dict[str, Any]], build: Callable[[int], BaseSampler] | None
    ) -> None:
        self._fixed, self._build = fixed, build
        self._inner: BaseSampler = RandomSampler(seed=0)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Build the sampler of a trial."""
        if trial.number >= len(self._fixed) and self._build is not None:
            self._inner = self._build(trial.number)
            self._inner.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the parameters that are proposed together."""
        if trial.number < len(self._fixed):
            return {}
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the values that are proposed together."""
        if trial.number < len(self._fixed):
            return {}
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the value of one parameter."""
        if trial.number < len(self._fixed):
            return self._fixed[trial.number][param_name]
        return self._inner.sample_independent(study, trial, param_name, param_distribution)
