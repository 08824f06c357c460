"""Settings that no machine can hold are refused by `check`; large ones that fit are accepted."""

import pytest
from experiments import TINY, command, write_experiment

TOO_LARGE = [
    "train.batch_size=9999999999999999999",
    "train.epochs=9999999999999999999",
    "train.steps_per_execution=9999999999999999999",
    "train.data_workers=100000",
    "train.strategy={name: mirrored, replicas: 1000000}",
    "model.filters=[100000000]",
    "model.dense=[1000000000000]",
    f"model.dense=[{', '.join(['1'] * 1501)}]",
    "model.kernel_sizes=[4000]",
    "model.pooling=1000000",
    "model={name: convnext, depths: [100000]}",
    "data={name: folder, path: photos, size: [30000, 30000]}",
    "augment=[{name: aug_mix, width: 10000, depth: 10000}]",
    "augment=[{name: random_crop, padding: 1000000000}]",
    "evaluate.bootstrap_samples=100000000",
]


@pytest.mark.parametrize("override", TOO_LARGE, ids=range(len(TOO_LARGE)))
def test_what_no_machine_can_hold_is_refused_with_the_limit(override, workspace):
    path = write_experiment(workspace, TINY)
    exit_code, _, stderr = command("check", path, "--set", override)
    assert exit_code == 2
    assert "or less" in stderr or "values at most" in stderr


LARGE = [
    "train.batch_size=65536",
    "train.epochs=100000",
    "train.strategy={name: mirrored, replicas: 64}",
    "model.dense=[100000]",
    "model.kernel_sizes=[31]",
    "data={name: folder, path: photos, size: [4096, 4096]}",
]


@pytest.mark.parametrize("override", LARGE)
def test_what_a_large_machine_holds_is_accepted(override, workspace):
    path = write_experiment(workspace, TINY)
    assert command("check", path, "--set", override)[0] == 0
