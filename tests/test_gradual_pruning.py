"""Pruning in steps: what was removed stays removed, and the last step keeps the budget."""

import numpy
import pytest
from pruned_models import make_model

from imgcls.errors import UserError


def train_a_little(model):
    """Change all weights, as training would."""
    random = numpy.random.default_rng(3)
    for variable in model.weights:
        variable.assign(variable * random.uniform(0.5, 1.5, variable.shape))
    return model


FULL = pytest.mark.full


@pytest.mark.parametrize(
    "score", [pytest.param("batch_norm", marks=FULL), pytest.param("l1", marks=FULL), "random"]
)
def test_each_step_removes_more_and_adds_nothing_again(score):
    from imgcls.models._cost import count_multiply_adds
    from imgcls.pruning.gradual import GradualPruning
    from imgcls.pruning.plan import Limits

    model = make_model("resnet")
    pruning = GradualPruning(model, score, 0, Limits(4, 0.1))
    before = {name: now for name, (now, _) in pruning.count_widths().items()}
    for fraction in (0.7, 0.5, 0.25):
        budget = int(fraction * pruning.total)
        model = train_a_little(pruning.prune(model, budget))
        assert count_multiply_adds(model) <= budget
        widths = {name: left for name, (_, left) in pruning.count_widths().items()}
        assert all(widths[name] <= before[name] for name in before)
        assert all(model.get_layer(name).kernel.shape[-1] == left for name, left in widths.items())
        before = widths


def test_steps_leave_what_one_step_does_if_nothing_is_trained():
    """Scores that do not depend on other channels, of layers that are scored by themselves."""
    from imgcls.pruning.gradual import GradualPruning
    from imgcls.pruning.plan import Limits

    found = []
    for fractions in ((0.4,), (0.8, 0.4)):
        model = make_model("speed")
        pruning = GradualPruning(model, "batch_norm", 0, Limits(1, 0.1))
        for fraction in fractions:
            model = pruning.prune(model, int(fraction * pruning.total))
        found.append(sum(left for _, left in pruning.count_widths().values()))
    assert abs(found[0] - found[1]) <= 0.15 * found[0]


def test_a_budget_is_checked_before_the_first_step():
    from imgcls.pruning.gradual import GradualPruning
    from imgcls.pruning.plan import Limits

    model = make_model("speed")
    pruning = GradualPruning(model, "l1", 0, Limits(1, 0.5))
    with pytest.raises(UserError, match="cannot be reached"):
        pruning.require_reachable(model, pruning.total // 100)
    pruning.require_reachable(model, pruning.total // 2)
