"""Training gives the same numbers twice, on several devices, streaming, and compiled by XLA."""

from pathlib import Path

import numpy
import pytest
from experiments import (
    FLOAT64,
    RICH,
    assert_same_result,
    log_without_times,
    weights,
)

from imgcls.run import Run
from imgcls.verbs import train
from imgcls.verbs.prepare import prepare

every_strategy = pytest.mark.parametrize(
    "strategy",
    ["{name: one_device}", pytest.param("{name: mirrored, replicas: 2}", marks=pytest.mark.full)],
)


def test_the_same_command_twice_gives_the_same_bits(digits):
    settings = digits(*RICH)
    first, second = (Run(Path(train.train(settings)["run"])) for _ in range(2))
    assert (first.folder, second.folder) == (Path("runs/tiny/1"), Path("runs/tiny/2"))
    assert_same_result(first, second)


def test_another_seed_gives_another_result(digits, prepared):
    other = digits("seed=1")
    prepare(other)
    first, second = (Run(Path(train.train(settings)["run"])) for settings in (digits(), other))
    assert log_without_times(first) != log_without_times(second)


def test_one_and_two_devices_give_the_same_weights_in_float64(digits):
    overrides = ("train.precision=float64", "model.dropout=0.0", "model.l2=0.001", *RICH)
    one = Run(Path(train.train(digits(*overrides))["run"]))
    two = Run(
        Path(train.train(digits(*overrides, "train.strategy={name: mirrored, replicas: 2}"))["run"])
    )
    for key in ("loss", "accuracy", "val_loss", "val_accuracy"):
        numpy.testing.assert_allclose(
            [getattr(epoch, key) for epoch in one.log],
            [getattr(epoch, key) for epoch in two.log],
            rtol=1e-12,
        )
    for mine, theirs in zip(weights(one), weights(two), strict=True):
        numpy.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)


@every_strategy
def test_bfloat16_trains_nearly_as_float32_does(digits, strategy):
    shared = (f"train.strategy={strategy}", "model.dropout=0", "train.epochs=2")
    losses = []
    for precision in ("float32", "mixed_bfloat16"):
        train.train(digits(*shared, f"train.precision={precision}"), Path(precision))
        losses.append(Run(Path(precision)).log[-1].val_loss)
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


@every_strategy
def test_xla_gives_the_same_numbers_with_dropout_too(digits, strategy):
    settings = ("model.pooling=1", "model.dropout=0.5", "train.epochs=1")
    shared = (*FLOAT64, f"train.strategy={strategy}", *settings)
    train.train(digits(*shared), Path("plain"))
    train.train(digits(*shared, "train.jit_compile=true"), Path("compiled"))
    plain, compiled = Run(Path("plain")).log[0], Run(Path("compiled")).log[0]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert getattr(plain, name) == pytest.approx(getattr(compiled, name), rel=1e-10)


def test_streaming_splits_give_the_same_bits_as_splits_on_the_device(digits):
    runs = []
    for name, mebibytes in (("in_memory", 512), ("streaming", 0)):
        train.train(digits(*RICH, f"train.device_cache_mib={mebibytes}"), Path(name))
        runs.append(Run(Path(name)))
    assert_same_result(*runs)
