"""Optimizers: steps against the papers' formulas in numpy, on one device and on two."""

import math

import numpy
import pytest
from optimizer_oracles import ORACLES, schedule_free

from imgcls import parts
from imgcls.backend import keras, tf
from imgcls.distributed.cluster import SINGLE_PROCESS
from imgcls.errors import UserError

SHAPES = {
    "stem/kernel": (3, 3, 1, 4),
    "stem/bias": (4,),
    "convolution_1/kernel": (3, 3, 4, 6),
    "batch_norm_1/gamma": (6,),
    "batch_norm_1/beta": (6,),
    "depthwise/kernel": (3, 3, 6, 1),
    "convolution_2/kernel": (1, 1, 6, 16),
    "dense/kernel": (16, 5),
    "logits/kernel": (5, 3),
    "logits/bias": (3,),
}
"""The variables of a small network, in its order."""
RATES = (0.25, 0.0, 0.5, 0.125)
"""The learning rate of each step, relative to the optimizer's."""
VARIANTS = {
    "sgd": [{"l2": 0.25}, {"nesterov": False}, {"momentum": 0.0, "l2": 0.5}],
    "adamw": [{"weight_decay": 0.25}],
    "lamb": [{"weight_decay": 0.25}],
    "lion": [{"weight_decay": 0.25}],
    "schedule_free": [{"weight_decay": 0.25, "beta_1": 0.5}],
    "muon": [
        {"companion": {"name": "adamw", "weight_decay": 0.5}},
        {"newton_schulz_steps": 2, "weight_decay": 0.0, "companion": {"l2": 0.25}},
    ],
}
"""Further settings than the defaults."""
CASES = [
    (name, settings)
    for name in parts.list_names("optimizers")
    for settings in ({}, *VARIANTS.get(name, []))
]
every_optimizer = pytest.mark.parametrize("name", parts.list_names("optimizers"))


def make_arrays(seed, dtype="float64"):
    random = numpy.random.default_rng(seed)
    return [random.normal(size=shape).astype(dtype) for shape in SHAPES.values()]


def make_variables(dtype="float64"):
    return [
        keras.Variable(array, dtype=dtype, name=name.rpartition("/")[2])
        for name, array in zip(SHAPES, make_arrays(0), strict=True)
    ]


def make_strategy(replicas):
    """Return a strategy of the first logical devices, the one that trainings use too."""
    part = parts.load("strategies", "mirrored")
    return part.build(part.Settings(name="mirrored", replicas=replicas), SINGLE_PROCESS)


def make_settings(name, settings):
    return parts.load("optimizers", name).Settings.model_validate({"name": name, **settings})


def make_optimizer(settings, variables, current):
    """Return an optimizer whose learning rate is the last one of a list."""
    optimizer = parts.load_for("optimizers", settings).build(
        settings, lambda: tf.convert_to_tensor(current[-1], variables[0].dtype)
    )
    optimizer.build(variables)
    return optimizer


def take_steps(optimizer, variables, current, settings, dtype="float64"):
    for number, relative in enumerate(RATES):
        current.append(settings.learning_rate * relative)
        gradients = [tf.constant(each) for each in make_arrays(number + 1, dtype)]
        optimizer.apply(gradients, variables)


def compute_oracle(settings, factors=None, clipnorm=math.inf):
    """Return the weights after the same steps."""
    weights, step = make_arrays(0), ORACLES[settings.name](settings)
    for number, relative in enumerate(RATES):
        rate = settings.learning_rate * relative
        rates = [rate * (factors or {}).get(i, 1.0) for i in range(len(weights))]
        gradients = make_arrays(number + 1)
        norm = numpy.sqrt(sum((each**2).sum() for each in gradients))
        assert norm > 2
        step(weights, [each * min(clipnorm / norm, 1) for each in gradients], rates, rate)
    return weights


def assert_close(variables, expected, tolerance):
    for name, variable, array in zip(SHAPES, variables, expected, strict=True):
        numpy.testing.assert_allclose(
            variable.numpy(), array, rtol=tolerance, atol=tolerance, err_msg=name
        )


@pytest.mark.parametrize(("name", "changes"), CASES)
def test_four_steps_follow_the_paper(name, changes):
    settings, variables, current = make_settings(name, changes), make_variables(), []
    optimizer = make_optimizer(settings, variables, current)
    take_steps(optimizer, variables, current, settings)
    assert_close(variables, compute_oracle(settings), 1e-12)


@every_optimizer
def test_steps_in_float32_differ_by_its_rounding(name):
    settings, variables, current = make_settings(name, {}), make_variables("float32"), []
    optimizer = make_optimizer(settings, variables, current)
    take_steps(optimizer, variables, current, settings, "float32")
    assert_close(variables, compute_oracle(settings), 1e-5)


@every_optimizer
def test_factors_multiply_the_learning_rates_of_their_variables(name):
    settings, variables, current = make_settings(name, {}), make_variables(), []
    factors = {0: 0.5, 3: 0.25, 6: 2.0, 8: 0.125}
    optimizer = make_optimizer(settings, variables, current)
    optimizer.set_learning_rate_factors(factors)
    take_steps(optimizer, variables, current, settings)
    assert_close(variables, compute_oracle(settings, factors), 1e-12)


@every_optimizer
def test_replicas_take_the_step_of_the_sum_of_their_gradients(name):
    settings, current = make_settings(name, {}), []
    strategy = make_strategy(2)
    with strategy.scope():
        variables = make_variables()
        optimizer = make_optimizer(settings, variables, current)
        optimizer.global_clipnorm = 2.0

    @tf.function
    def step(rate, *gradients):
        def apply():
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            fraction = tf.where(tf.equal(replica, 0), 0.75, 0.25)
            current.append(rate)
            optimizer.apply([each * tf.cast(fraction, each.dtype) for each in gradients], variables)

        strategy.run(apply)

    for number, relative in enumerate(RATES):
        rate = tf.constant(settings.learning_rate * relative, tf.float64)
        step(rate, *map(tf.constant, make_arrays(number + 1)))
    assert_close(variables, compute_oracle(settings, clipnorm=2.0), 1e-12)
    for variable in optimizer.variables:
        for copy in strategy.experimental_local_results(variable.value):
            numpy.testing.assert_array_equal(copy, variable.numpy())


@every_optimizer
def test_gradients_are_clipped_after_the_loss_scale_is_divided_out(name):
    settings, variables, current = make_settings(name, {}), make_variables(), []
    optimizer = keras.optimizers.LossScaleOptimizer(
        parts.load_for("optimizers", settings).build(
            settings, lambda: tf.constant(current[-1], tf.float64)
        ),
        initial_scale=1024.0,
    )
    optimizer.inner_optimizer.global_clipnorm = 2.0
    optimizer.build(variables)
    for number, relative in enumerate(RATES):
        current.append(settings.learning_rate * relative)
        gradients = [tf.constant(each) * 1024 for each in make_arrays(number + 1)]
        optimizer.apply(gradients, variables)
    assert_close(variables, compute_oracle(settings, clipnorm=2.0), 1e-12)


@every_optimizer
def test_every_variable_that_a_step_changes_is_listed(name):
    """Two optimizers with equal variables take equal steps: so a checkpoint needs no more."""
    settings, current = make_settings(name, {}), []
    variables, others = make_variables(), make_variables()
    one, two = (make_optimizer(settings, each, current) for each in (variables, others))
    take_steps(one, variables, current, settings)
    for source, target in zip([*variables, *one.variables], [*others, *two.variables], strict=True):
        target.assign(source.numpy())
    for optimizer, each in ((one, variables), (two, others)):
        take_steps(optimizer, each, current, settings)
    for variable, other in zip(variables, others, strict=True):
        numpy.testing.assert_array_equal(variable.numpy(), other.numpy())


@every_optimizer
def test_optimizers_ask_for_the_learning_rate_of_each_step(name):
    settings, variables, current = make_settings(name, {}), make_variables(), [0.0]
    optimizer = make_optimizer(settings, variables, current)
    gradients = [tf.ones_like(variable.value) for variable in variables]
    optimizer.apply(gradients, variables)
    assert_close(variables, make_arrays(0), 1e-15)
    current.append(0.1)
    optimizer.apply(gradients, variables)
    assert float(variables[1][0]) < make_arrays(0)[1][0]


def test_only_kernels_decay():
    decayed = {}
    for name in parts.list_names("optimizers"):
        fields = parts.load("optimizers", name).Settings.model_fields
        for key in {"weight_decay", "l2"} & fields.keys():
            settings = make_settings(name, {key: 0.5})
            variables, current = make_variables(), [settings.learning_rate]
            before = [variable.numpy() for variable in variables]
            optimizer = make_optimizer(settings, variables, current)
            optimizer.apply([tf.zeros_like(variable.value) for variable in variables], variables)
            changed = {
                path
                for path, variable, old in zip(SHAPES, variables, before, strict=True)
                if not numpy.array_equal(variable.numpy(), old)
            }
            assert all(path.endswith("kernel") for path in changed)
            decayed[name, key] = len(changed)
    kernels = sum(path.endswith("kernel") for path in SHAPES)
    assert decayed.pop(("muon", "weight_decay")) == 3  # the others are the companion's
    assert set(decayed.values()) == {kernels}


def test_the_average_of_schedule_free_is_that_of_the_paper():
    settings, current = make_settings("schedule_free", {}), []
    strategy = make_strategy(2)
    with strategy.scope():
        variables = make_variables()
        optimizer = make_optimizer(settings, variables, current)
    for variable in variables:
        variable.assign(variable * 2)  # as pretrained weights replace the initial ones
    optimizer.reset_averages()
    for variable, average in zip(variables, optimizer.get_averages(), strict=True):
        numpy.testing.assert_array_equal(variable.numpy(), average.numpy())

    @tf.function
    def step(rate, *gradients):
        current.append(rate)
        strategy.run(lambda: optimizer.apply([each / 2 for each in gradients], variables))

    weights, oracle = [array * 2 for array in make_arrays(0)], schedule_free(settings)
    for number, rate in enumerate((0.0, 0.25, 0.5)):
        gradients = make_arrays(number + 1)
        step(tf.constant(rate, tf.float64), *map(tf.constant, gradients))
        oracle(weights, gradients, [rate] * len(gradients), rate)
    averages = [oracle.averages[i] for i in range(len(weights))]
    assert_close(optimizer.get_averages(), averages, 1e-12)
    trained = [variable.numpy() for variable in variables]
    assert_close(variables, weights, 1e-12)
    optimizer.finalize_variable_values(variables)
    assert_close(variables, averages, 1e-12)
    assert not any(map(numpy.array_equal, trained, variables))


def test_muon_without_a_hidden_layer_is_an_error():
    settings = make_settings("muon", {})
    shallow = [make_variables()[i] for i in (0, 1, 8, 9)]
    with pytest.raises(UserError, match="muon trains the kernels between the first and the last"):
        make_optimizer(settings, shallow, [])


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_without_l2_every_bit_is_that_of_keras_sgd(nesterov, momentum):
    settings = make_settings("sgd", {"nesterov": nesterov, "momentum": momentum})
    ours, theirs = make_variables("float32"), make_variables("float32")
    current = []
    oracle = keras.optimizers.SGD(lambda: current[-1], momentum=momentum, nesterov=nesterov)
    oracle.build(theirs)
    take_steps(make_optimizer(settings, ours, current), ours, current, settings, "float32")
    for number, rate in enumerate(list(current)):
        current.append(rate)
        oracle.apply([tf.constant(each) for each in make_arrays(number + 1, "float32")], theirs)
    for one, other in zip(ours, theirs, strict=True):
        numpy.testing.assert_array_equal(one.numpy(), other.numpy())
