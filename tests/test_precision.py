"""`train.precision` alone decides how many bits float32 has, in training and evaluation."""

from pathlib import Path

import pytest
from experiments import assert_same_result, command, experiment

from imgcls import environment
from imgcls.errors import UserError
from imgcls.run import Run
from imgcls.training import build, precision
from imgcls.training.precision import require_consistent
from imgcls.verbs import evaluate, train

OTHERS = ("float32", "mixed_bfloat16", "mixed_float16", "float64")


@pytest.mark.parametrize("name", OTHERS)
def test_only_tensorfloat32_allows_it(workspace, name):
    from imgcls.backend import keras, tf

    build.set_up_process(experiment(workspace, "train.precision=tensorfloat32"))
    assert tf.config.experimental.tensor_float_32_execution_enabled()
    assert keras.config.dtype_policy().name == "float32"
    build.set_up_process(experiment(workspace, f"train.precision={name}"))
    assert not tf.config.experimental.tensor_float_32_execution_enabled()
    assert keras.config.dtype_policy().name == name


@pytest.mark.parametrize(("name", "notes"), [("tensorfloat32", 1), ("float32", 0)])
def test_a_note_says_that_tensorfloat32_needs_a_gpu(workspace, capsys, name, notes):
    build.set_up_process(experiment(workspace, f"train.precision={name}"))
    assert capsys.readouterr().err.count("is the same as float32 without a GPU") == notes


@pytest.mark.full
@pytest.mark.parametrize(
    ("features", "noted"),
    [
        ({"avx2", "avx512f"}, True),
        ({"avx512f", "avx512_bf16"}, False),
        ({"amx_bf16", "amx_tile"}, False),
        ({"asimd", "bf16"}, False),
        ({}, False),
    ],
    ids=["AVX2", "AVX512-BF16", "AMX", "ARM", "unknown"],
)
def test_a_note_says_that_a_processor_has_no_instructions_for_bfloat16(capsys, features, noted):
    precision.note_unsuitable_for_cpu("mixed_bfloat16", set(features))
    assert capsys.readouterr().err.startswith("note: this processor has no") == noted
    precision.note_unsuitable_for_cpu("float32", set(features))
    assert not capsys.readouterr().err


def test_the_features_of_this_processor_are_found():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    listed = [
        set(line.partition(":")[2].split())
        for line in lines
        if line.startswith(("flags", "Features"))
    ]
    assert environment.read_cpu_features() in listed


def test_tensorfloat32_gives_the_bits_of_float32_on_a_cpu_and_eval_allows_it_again(digits):
    from imgcls.backend import tf

    runs = [Run(Path(name)) for name in ("tensorfloat32", "float32")]
    for run in runs:
        train.train(digits(f"train.precision={run.folder.name}"), run.folder)
    assert_same_result(*runs)
    for run in runs:
        evaluate.evaluate(run)
        allowed = tf.config.experimental.tensor_float_32_execution_enabled()
        assert allowed == (run.folder.name == "tensorfloat32")
    one, other = (run.predictions_file("test").read_bytes() for run in runs)
    assert one == other


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("value", ["1", "2"])
def test_a_variable_that_may_allow_tensorfloat32_contradicts_any_other_precision(name, value):
    with pytest.raises(UserError) as caught:
        require_consistent(name, {"NVIDIA_TF32_OVERRIDE": value})
    assert str(caught.value) == (
        f"NVIDIA_TF32_OVERRIDE is {value}, which may allow TensorFloat-32 in NVIDIA's libraries,"
        f" but train.precision is {name}; unset it, or set train.precision: tensorfloat32"
    )


def test_a_variable_that_forbids_tensorfloat32_contradicts_it():
    with pytest.raises(UserError) as caught:
        require_consistent("tensorfloat32", {"NVIDIA_TF32_OVERRIDE": "0"})
    assert "which forbids TensorFloat-32" in str(caught.value)
    assert str(caught.value).endswith("unset it, or set train.precision: float32")


@pytest.mark.parametrize("name", precision.ONEDNN_MODES)
@pytest.mark.parametrize("precision_name", [*OTHERS, "tensorfloat32"])
def test_fewer_bits_on_a_cpu_are_refused_whatever_the_precision(name, precision_name):
    with pytest.raises(UserError, match=f"^{name} is bf16, .*; unset it"):
        require_consistent(precision_name, {name: "bf16"})


@pytest.mark.parametrize(
    ("name", "variables"),
    [
        ("float32", {}),
        ("float32", {"NVIDIA_TF32_OVERRIDE": "0", "ONEDNN_DEFAULT_FPMATH_MODE": "strict"}),
        ("tensorfloat32", {"NVIDIA_TF32_OVERRIDE": "1", "TF_SET_ONEDNN_FPMATH_MODE": ""}),
    ],
)
def test_variables_that_agree_with_the_precision_are_accepted(name, variables):
    require_consistent(name, variables)


def test_train_and_eval_end_with_exit_code_2_and_leave_no_run(digits, monkeypatch):
    run = Run(Path(train.train(digits("train.epochs=1"))["run"]))
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    with pytest.raises(UserError, match="NVIDIA_TF32_OVERRIDE is 1"):
        train.train(digits("train.epochs=1"), Path("again"))
    assert not Path("again").exists()
    exit_code, _, stderr = command("eval", run.folder)
    assert exit_code == 2
    assert "NVIDIA_TF32_OVERRIDE is 1" in stderr
