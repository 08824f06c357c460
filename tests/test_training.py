"""Training: which run it begins or continues, and what it leaves in the run folder."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from experiments import command, stored_pixels
from PIL import Image
from test_docs import ROOT, find_blocks

from imgcls.errors import DataError, UserError
from imgcls.evaluation import predictions
from imgcls.io.signals import StopRequest
from imgcls.run import Run
from imgcls.store import lookup
from imgcls.training.model_description import read_description
from imgcls.verbs import train


def test_a_folder_whose_run_never_saved_a_state_takes_the_corrected_experiment(digits):
    with pytest.raises(UserError, match="too small for a total stride of 32"):
        train.train(digits("model.filters=[4,4,4,4,4]"), Path("run"))
    train.train(digits("train.epochs=1"), Path("run"))
    assert Run(Path("run")).experiment == digits("train.epochs=1")


def test_a_lost_model_file_is_named_and_written_anew(digits, capsys):
    settings = digits()
    train.train(settings, Path("run"))
    run = Run(Path("run"))
    model = run.model_file.read_bytes()
    for damage, problem in (
        (lambda: run.model_file.write_bytes(model[:100]), "run/model.keras is damaged ("),
        (run.model_file.unlink, "cannot read run/model.keras: No such file or directory; "),
    ):
        damage()
        exit_code, _, stderr = command("eval", "run")
        assert exit_code == 3
        assert problem in stderr
        assert "run the training command again" in stderr
    train.train(settings, Path("run"))
    assert run.model_file.read_bytes() == model


def test_a_finished_run_says_so_and_is_left_alone(digits, capsys):
    settings = digits()
    first = train.train(settings, Path("run"))
    before = {path: path.stat().st_mtime_ns for path in Path("run").rglob("*")}
    assert train.train(settings, Path("run")) == first
    assert "run is finished" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in Path("run").rglob("*")} == before


def test_without_a_folder_the_newest_unfinished_run_is_continued(digits, capsys):
    settings = digits()
    train.train(settings)
    run = Run(Path("runs/tiny/1"))
    run.write_status("running", step=0)
    assert train.train(settings)["run"] == "runs/tiny/1"
    assert "continuing runs/tiny/1" in capsys.readouterr().err
    assert train.train(digits("train.epochs=1"))["run"] == "runs/tiny/2"


def test_a_run_of_another_experiment_is_refused_with_the_differences(digits):
    train.train(digits(), Path("run"))
    with pytest.raises(UserError, match="is of another experiment") as error:
        train.train(digits("model.filters=[5]", "model.dropout=0.1"), Path("run"))
    assert "  model.filters.0: 4 there, 5 here" in str(error.value)
    assert "  model.dropout: 0.5 there, 0.1 here" in str(error.value)


def test_a_folder_with_other_files_is_refused(digits):
    Path("run").mkdir()
    Path("run/thesis.txt").write_text("")
    with pytest.raises(UserError, match="exists, but is not a run"):
        train.train(digits(), Path("run"))


def test_missing_data_is_named_with_the_command_that_makes_it(digits):
    with pytest.raises(DataError, match="imgcls prepare"):
        train.train(digits("data.store_dir=nowhere"))


def test_a_run_whose_data_is_gone_does_not_continue_on_other_data(digits):
    settings = digits()
    train.train(settings, Path("run"))
    run = Run(Path("run"))
    data = run.data
    run.data_file.write_text(json.dumps({**data.model_dump(), "fingerprint": "0" * 64}))
    run.write_status("running", step=0)
    with pytest.raises(DataError, match=r"the run's data, .*digits-000000000000, does not exist"):
        train.train(settings, Path("run"))


def test_the_summary_says_what_limits_the_speed_and_which_stage_is_slowest(digits):
    speed = train.train(digits("train.epochs=1"))["speed"]
    assert re.fullmatch(
        r"the bottleneck is the (device|loader): the device waited for data during \d+\.\d% of the"
        r" training steps' time; "
        r"the slowest stage is \w+ \(\d+\.\d (of \d+\.\d s|s, summed over its workers)\)",
        speed,
    )


def test_a_streamed_split_logs_what_reading_and_augmenting_cost(digits):
    train.train(
        digits(
            "train.device_cache_mib=0",
            "augment=[{name: random_crop, padding: 1}]",
            "train.epochs=1",
        ),
        Path("run"),
    )
    stages = Run(Path("run")).log[0].stage_seconds
    assert stages.reading > 0
    assert stages.augmentation > 0


def test_the_model_file_and_the_page_about_it_give_the_predictions_of_eval_without_imgcls(digits):
    train.train(digits(), Path("run"))
    assert command("eval", "run", "--split", "validation")[0] == 0
    saved = predictions.load(Run(Path("run")), "validation")
    store, split = lookup.open_run_store(Run(Path("run")).data, digits().data.store_dir)
    Image.fromarray(stored_pixels(store)[split.validation[0], ..., 0]).save("digit.png")
    (program,) = find_blocks(ROOT / "docs" / "model.md", "python")
    check = "assert not any(name.startswith('imgcls') for name in sys.modules)"
    Path("program.py").write_text(f"{program}\n{check}\n")
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    result = subprocess.run(
        [sys.executable, "program.py", "run/model.keras", "digit.png"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    name, probability = result.stdout.split()
    assert name == saved.classes[saved.predicted[0]]
    assert float(probability) == pytest.approx(saved.probabilities[0].max(), rel=1e-5)
    description = read_description(Run(Path("run")).model_file)
    assert description.fingerprint == store.fingerprint
    assert description.calibration.temperature == saved.temperature != 1


def test_the_run_folder_holds_what_the_design_says(digits):
    summary = train.train(digits(), Path("run"))
    run = Run(Path("run"))
    assert run.experiment == digits()
    assert list(run.log[0].model_dump()) == [
        *("epoch", "step", "loss", "accuracy", "val_loss", "val_accuracy"),
        *("train_mode_loss", "eval_mode_loss", "learning_rate"),
        *("image_size", "frozen_layers", "trained_parameters"),
        *("seconds", "images_per_second", "input_wait"),
        *("steps_per_execution", "stage_seconds"),
    ]
    assert (run.status.status, run.status.step, run.status.exit_code) == (
        "finished",
        12,
        0,
    )
    assert run.data.sizes == {"train": 1294, "validation": 144, "test": 359}
    environment = json.loads(run.environment_file.read_text())
    assert environment["seed"] == 0
    assert environment["versions"]["keras"].startswith("3.")
    assert environment["devices"]
    assert 0 <= run.log[-1].input_wait <= 1
    assert summary["epochs"] == 2


def test_a_batch_that_does_not_divide_among_the_devices_is_refused(digits):
    with pytest.raises(
        UserError, match=r"train\.batch_size is 255, which is not a multiple of the 2 devices"
    ):
        train.train(digits("train.batch_size=255", "train.strategy={name: mirrored, replicas: 2}"))


def test_a_batch_larger_than_the_split_is_trained_with_a_note(digits, capsys):
    train.train(digits("train.batch_size=2048", "train.epochs=1"), Path("run"))
    assert "train.batch_size is 2048, but there are 1294 training images" in capsys.readouterr().err
    assert Run(Path("run")).log[0].step == 1


@pytest.mark.full
@pytest.mark.parametrize(
    "mebibytes",
    [512, 0],
    ids=["in memory", "streaming"],
)
def test_memory_stays_flat_over_200_epochs(digits, mebibytes):
    from imgcls.store.lookup import find_store
    from imgcls.training.new_run import create_run
    from imgcls.training.trainer import Trainer

    settings = digits(
        "train.epochs=200",
        "augment=[{name: random_crop, padding: 1}]",
        f"train.device_cache_mib={mebibytes}",
    )
    trainer = Trainer(create_run(settings, Path("run")), settings, *find_store(settings))
    pages = [
        int(Path("/proc/self/statm").read_text().split()[1])
        for _ in trainer.train_epochs(StopRequest())
    ]
    trainer.close()  # before the test's folder is left
    assert len(pages) == 200
    assert (pages[-1] - pages[19]) * os.sysconf("SC_PAGE_SIZE") < 8 * 2**20
