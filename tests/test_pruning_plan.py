"""Structured pruning: scores, and the budget of multiply-adds that they are removed for."""

import numpy
import pytest
from pruned_models import find_groups, make_model

from imgcls.errors import UserError


def make_planner(name="resnet", score="batch_norm", multiple_of=1, min_fraction=0.1, seed=0):
    from imgcls.pruning.plan import Limits, Planner
    from imgcls.pruning.scores import compute_scores
    from imgcls.pruning.trace import trace

    model = make_model(name)
    traced = trace(model)
    scores = compute_scores(traced, score, seed)
    return model, traced, Planner(traced, scores, Limits(multiple_of, min_fraction))


@pytest.mark.parametrize(("score", "fraction"), [("batch_norm", 0.8), ("l1", 0.3), ("random", 0.3)])
def test_a_pruned_model_has_at_most_the_budget_of_multiply_adds(score, fraction):
    from imgcls.models import _cost
    from imgcls.pruning.rebuild import remove_channels

    model, traced, planner = make_planner(score=score)
    budget = int(fraction * _cost.count_multiply_adds(model))
    found = _cost.count_multiply_adds(remove_channels(model, traced, planner.plan(budget)))
    assert 0.85 * budget < found <= budget


def test_a_budget_of_everything_removes_nothing():
    _, traced, planner = make_planner()
    assert planner.plan(planner.count(traced.keep_all())).all()


def test_numbers_of_channels_are_multiples_where_a_layer_is_large_enough():
    from imgcls.models import _cost
    from imgcls.pruning.rebuild import remove_channels

    model, traced, planner = make_planner(multiple_of=8)
    narrow = remove_channels(model, traced, planner.plan(_cost.count_multiply_adds(model) // 2))
    widths = {layer.name: layer.filters for layer in model.layers if hasattr(layer, "filters")}
    left = {name: narrow.get_layer(name).filters for name in widths}
    assert all(left[name] % 8 == 0 for name, width in widths.items() if width >= 16)
    assert any(left[name] % 8 for name, width in widths.items() if width < 16)


def test_an_unreachable_budget_names_the_layer_and_the_smallest_one():
    model, traced, planner = make_planner(min_fraction=0.5)
    full = planner.count(traced.keep_all())
    with pytest.raises(UserError) as error:
        planner.plan(full // 100)
    smallest = float(str(error.value).split("give at least ")[1].split("%")[0])
    name = str(error.value).split("in layer ")[1].split(",")[0]
    assert any(layer.name == name for layer in model.layers)
    assert planner.count(planner.plan(int(full * smallest / 100))) <= full * smallest / 100
    with pytest.raises(UserError):
        planner.plan(int(full * (smallest - 0.2) / 100))


def test_the_channels_of_the_lowest_scores_are_removed_first():
    """In a chain of two layers of equal cost, by the scale of batch norm."""
    model, traced, planner = make_planner("speed", min_fraction=0.01)
    layer = model.get_layer("stem_batch_norm")
    layer.gamma.assign([8, 1, 2, 7, 6, 3, 4, 5])
    from imgcls.pruning.plan import Limits, Planner
    from imgcls.pruning.scores import compute_scores

    planner = Planner(traced, compute_scores(traced, "batch_norm", 0), Limits(1, 0.01))
    full = planner.count(traced.keep_all())
    for fraction in (0.9, 0.7, 0.5):
        groups = find_groups(traced, "stem_batch_norm")
        kept = planner.plan(int(fraction * full))[groups]
        gamma = numpy.array(layer.gamma.numpy())
        assert kept.all() or gamma[kept].min() > gamma[~kept].max()


def test_random_scores_are_those_of_the_seed():
    from imgcls.pruning.scores import compute_scores

    _, traced, _ = make_planner("speed")
    first, again, other = (compute_scores(traced, "random", seed) for seed in (0, 0, 1))
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_scores_are_the_formulas_relative_to_the_mean_of_the_layer():
    from imgcls.pruning.scores import compute_scores

    model, traced, _ = make_planner("speed")
    groups = find_groups(traced, "stage_1_convolution")
    kernel = numpy.abs(model.get_layer("stage_1_convolution").kernel.numpy()).sum((0, 1, 2))
    gamma = model.get_layer("stage_1_batch_norm").gamma.numpy()
    for score, values in (("l1", kernel), ("batch_norm", gamma)):
        numpy.testing.assert_allclose(
            compute_scores(traced, score, 0)[groups], values / values.mean(), rtol=1e-5
        )
