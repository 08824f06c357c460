"""Families: one run for each seed or fold, continued as a whole, and reported with their spread."""

import json
import shutil
from pathlib import Path

import numpy
import pytest
from experiments import TINY, change_json, command, json_of, write_experiment

from imgcls.errors import UserError
from imgcls.evaluation import predictions
from imgcls.experiment_file import read_experiment
from imgcls.family import Family, Members, parse_members
from imgcls.io.records import to_json
from imgcls.run import Run
from imgcls.store import lookup

SMALL = {**TINY, "train": {**TINY["train"], "epochs": 1}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with prepared digits, a family of seeds 0 and 3, one of two folds, both trained by
    their commands, and a run of seed 3 alone that shares the split.
    """
    folder = tmp_path_factory.mktemp("families")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_experiment(folder, SMALL)
        json_of("prepare", "experiment.yaml")
        json_of("train", "experiment.yaml", "--seeds", "0,3")
        json_of("train", "experiment.yaml", "--folds", "2", "--run", "runs/folds")
        alone = ["--set", "seed=3", "--set", "data.split_seed=0", "--run", "runs/alone"]
        json_of("train", "experiment.yaml", *alone)
    return folder


def test_a_family_has_a_run_for_each_seed_on_one_store_and_one_split(copied):
    family = Family(Path("runs/tiny/family-1"))
    assert [run.folder.name for run in family.runs] == ["seed-0", "seed-3"]
    assert [run.experiment.seed for run in family.runs] == [0, 3]
    assert len({run.data.split_sha256 for run in family.runs}) == 1
    assert len(list(Path("data").glob("digits-*"))) == 1


def test_a_run_of_a_family_has_the_bytes_of_the_same_run_trained_alone(copied):
    member, alone = Run(Path("runs/tiny/family-1/seed-3")), Run(Path("runs/alone"))
    assert member.model_file.read_bytes() == alone.model_file.read_bytes()
    assert member.experiment.identity() == alone.experiment.identity()


def test_a_finished_family_is_not_trained_again(copied):
    before = Path("runs/tiny/family-1/seed-0/model.keras").stat().st_mtime_ns
    exit_code, _, stderr = command(
        *["train", "experiment.yaml", "--seeds", "0,3", "--run", "runs/tiny/family-1"]
    )
    assert (exit_code, stderr.count("is finished; there is nothing to train")) == (0, 2)
    assert Path("runs/tiny/family-1/seed-0/model.keras").stat().st_mtime_ns == before


def test_the_same_command_trains_only_the_runs_that_are_missing(copied):
    expected = Path("runs/tiny/family-1/seed-3/model.keras").read_bytes()
    shutil.rmtree("runs/tiny/family-1/seed-3")
    summary = json_of("train", "experiment.yaml", "--seeds", "0,3")
    assert summary["family"] == "runs/tiny/family-1"
    assert Path("runs/tiny/family-1/seed-3/model.keras").read_bytes() == expected


def test_a_family_whose_summary_was_not_written_is_continued_without_training(copied):
    Path("runs/tiny/family-1/summary.json").unlink()
    before = Path("runs/tiny/family-1/seed-0/model.keras").stat().st_mtime_ns
    assert json_of("train", "experiment.yaml", "--seeds", "0,3")["family"] == "runs/tiny/family-1"
    assert Path("runs/tiny/family-1/summary.json").exists()
    assert Path("runs/tiny/family-1/seed-0/model.keras").stat().st_mtime_ns == before


def test_an_interrupted_family_says_why_and_how_to_continue_all_of_its_runs(copied):
    line = ["train", "experiment.yaml", "--seeds", "5,6", "--run", "runs/short"]
    exit_code, _, stderr = command(*line, "--set", "train.time_limit=1s")
    assert exit_code == 75
    message = stderr.splitlines()[-1]
    assert message.startswith("imgcls: runs/short/seed-5: train.time_limit of 1s at step ")
    assert message.endswith(
        "; the state is saved, continue with: imgcls train runs/short/experiment.yaml --seeds 5,6"
        " --run runs/short"
    )


def test_the_summary_has_mean_std_and_count_of_the_runs(copied):
    summary = json.loads(Path("runs/tiny/family-1/summary.json").read_text())
    values = [Run(Path(row["run"])).log[-1].val_accuracy for row in summary["runs"]]
    spread = summary["spreads"]["val_accuracy"]
    assert spread["values"] == values
    assert spread["mean"] == pytest.approx(numpy.mean(values))
    assert spread["std"] == pytest.approx(numpy.std(values, ddof=1))
    assert spread["count"] == 2


def test_eval_evaluates_each_run_of_a_family_and_gates_on_the_mean(copied):
    found = json_of("eval", "runs/tiny/family-1")
    of_runs = [
        Run(Path(f"runs/tiny/family-1/seed-{seed}")).read_evaluation("test") for seed in (0, 3)
    ]
    alone = [json_of("eval", f"runs/tiny/family-1/seed-{seed}") for seed in (0, 3)]
    assert alone == [json.loads(to_json(each)) for each in of_runs]
    values = [each["metrics"]["accuracy"] for each in alone]
    assert found["spreads"]["accuracy"]["values"] == values
    assert found["pooled"] is None
    between = (max(values) + sum(values) / 2) / 2
    exit_code, stdout, stderr = command(
        "eval", "runs/tiny/family-1", "--fail-under", f"accuracy={between}"
    )
    assert exit_code == 6
    assert "seed-3" in stdout
    assert f"accuracy is {sum(values) / 2}" in stderr


def test_folds_pool_a_prediction_of_every_image_by_the_run_that_held_it_out(copied):
    family = Family(Path("runs/folds"))
    pooled = predictions.load(family, "test")
    each = [predictions.load(run, "test") for run in family.runs]
    store, _ = lookup.open_run_store(family.runs[0].data, "data")
    assert sorted(pooled.ids) == sorted(store.get_ids(numpy.arange(store.count)))
    assert pooled.probabilities.tolist() == [
        row for one in each for row in one.probabilities.tolist()
    ]
    metrics = json.loads(family.metrics_file("test").read_text())["metrics"]
    assert metrics["accuracy"] == pytest.approx(
        (pooled.probabilities.argmax(axis=1) == pooled.labels).mean()
    )


def test_the_folds_of_a_family_are_those_of_runs_with_data_fold(copied):
    run = Family(Path("runs/folds")).runs[1]
    assert run.experiment.data.fold == "2/2"
    key = lookup.compute_split_key(run.experiment.data, 0)
    assert run.data.split == key


def test_plot_draws_the_figures_of_each_run_and_a_page_with_their_spread(copied):
    found = json_of("eval", "runs/tiny/family-1")
    written = json_of("plot", "runs/tiny/family-1", "confusion_matrix")
    folder = "runs/tiny/family-1"
    assert written == [
        *[
            f"{folder}/seed-{seed}/figures/{name}"
            for seed in (0, 3)
            for name in ("confusion_matrix.png", "report.html")
        ],
        *[f"{folder}/figures/{name}" for name in ("learning_curves.png", "spread.png")],
        f"{folder}/figures/report.html",
    ]
    page = Path(written[-1]).read_text()
    assert f"{found['spreads']['accuracy']['std']:.4f}" in page
    assert page.count("<img ") == 2


def test_plot_draws_the_pooled_predictions_of_folds_but_not_what_each_fold_has(copied):
    set_ = ["--set", "figures=[{name: roc}, {name: class_distribution}, {name: sample_grid}]"]
    exit_code, stdout, stderr = command("plot", "runs/folds", *set_)
    assert exit_code == 0
    assert "runs/folds/figures/roc.png" in stdout
    assert "runs/folds/figures/class_distribution.png" not in stdout
    assert "no class_distribution: each run of runs/folds has its own data" in stderr


def test_an_audit_of_folds_covers_every_image_once(copied):
    for saved in Path("runs/folds").glob("*/evaluation/validation/predictions.npz"):
        saved.unlink()  # they hold out some images once more
    found = json_of("audit", "runs/folds")["label_errors"]
    assert found["evaluated"] == found["images"] == 1797
    pooled = json.loads(Path("runs/folds/evaluation/test/metrics.json").read_text())
    assert found["accuracy"] == pytest.approx(pooled["metrics"]["accuracy"])


def test_reproduce_trains_each_run_of_a_family_again(copied):
    command("eval", "runs/tiny/family-1")
    found = json_of("reproduce", "runs/tiny/family-1")
    assert (found["result"], found["reproduction"]) == ("identical", "runs/tiny/reproduction-1")
    assert [each["result"] for each in found["runs"]] == ["identical"] * 2
    one, other = (
        Path(f"runs/tiny/{name}/seed-3/model.keras") for name in ("family-1", "reproduction-1")
    )
    assert one.read_bytes() == other.read_bytes()


def test_reproduce_names_the_run_of_a_family_that_differs(copied):
    lines = Path("runs/tiny/family-1/seed-3/log.jsonl").read_text().splitlines()
    epoch = json.loads(lines[0])
    Path("runs/tiny/family-1/seed-3/log.jsonl").write_text(
        json.dumps({**epoch, "val_loss": epoch["val_loss"] + 1e-9}) + "\n"
    )
    exit_code, stdout, stderr = command("reproduce", "runs/tiny/family-1", "--run", "runs/again")
    assert exit_code == 6
    assert "1 of 2 runs differ; the first: runs/again/seed-3 differs from runs" in stderr
    assert "identical" in stdout
    assert "different" in stdout


def test_an_experiment_means_its_family_only_if_no_single_run_is_finished(copied):
    exit_code, stdout, stderr = command("eval", "experiment.yaml")
    assert (exit_code, stdout.startswith("runs/tiny/family-1: test split, 2 runs")) == (0, True)
    assert "runs/tiny/family-1 is the newest finished family with these settings" in stderr
    json_of("train", "experiment.yaml")
    exit_code, stdout, stderr = command("eval", "experiment.yaml")
    assert (exit_code, stdout.startswith("runs/tiny/1: test split")) == (0, True)
    assert "there is also the family runs/tiny/family-1" in stderr


def test_runs_lists_a_family_with_the_means_of_its_runs_before_them(copied):
    rows = {row["run"]: row for row in json_of("runs")}
    names = ["family-1", "family-1/seed-0", "family-1/seed-3"]
    assert [name for name in rows if "tiny" in name] == [f"runs/tiny/{name}" for name in names]
    family, *members = (rows[f"runs/tiny/{name}"] for name in names)
    assert (family["status"], family["mean_of"]) == ("finished", 2)
    assert family["val_loss"] == pytest.approx(numpy.mean([row["val_loss"] for row in members]))
    Path("runs/tiny/family-1/seed-3/status.json").write_text("{")
    Path("runs/folds/family.json").write_text("{")
    rows = {row["run"]: row["status"] for row in json_of("runs")}
    assert rows["runs/tiny/family-1"] == "1 of 2 finished"
    assert rows["runs/folds"] == "damaged"
    assert "runs/tiny/family-1: means of 1 run" in command("runs")[1]


def test_a_family_that_is_half_done_is_an_error_with_the_command_that_finishes_it(copied):
    change_json(Path("runs/tiny/family-1/seed-3/status.json"), status="interrupted")
    exit_code, _, stderr = command("eval", "runs/tiny/family-1")
    assert exit_code == 3
    assert "1 of 2 runs are" in stderr
    assert "`imgcls train runs/tiny/family-1/experiment.yaml --seeds 0,3 --run" in stderr


def test_runs_on_different_data_are_no_family(copied):
    change_json(Path("runs/tiny/family-1/seed-3/data.json"), split_sha256="0" * 64)
    exit_code, _, stderr = command("eval", "runs/tiny/family-1")
    assert (exit_code, "were trained on different splits" in stderr) == (3, True)


def test_the_folder_of_another_family_is_refused(copied):
    line = ["train", "experiment.yaml", "--run", "runs/tiny/family-1"]
    exit_code, _, stderr = command(*line, "--seeds", "0,4")
    assert (exit_code, "a family with other runs" in stderr) == (2, True)
    exit_code, _, stderr = command(*line, "--seeds", "0,3", "--set", "train.batch_size=128")
    assert (exit_code, "train.batch_size: 256 there, 128 here" in stderr) == (2, True)
    exit_code, _, stderr = command(*line[:2], "--run", "runs/alone", "--seeds", "0,3")
    assert (exit_code, "is not a family" in stderr) == (2, True)


def parsed(tmp_path: Path, *overrides: str, **options: object) -> Members | None:
    """Return the members that options of a command give."""
    experiment = read_experiment(write_experiment(tmp_path, TINY), list(overrides))
    return parse_members(
        options.get("seeds"), options.get("num_seeds"), options.get("folds"), experiment
    )


def test_the_number_of_seeds_counts_from_the_experiments_seed(tmp_path):
    assert parsed(tmp_path, "seed=4", num_seeds=3) == Members("seed", [4, 5, 6])
    assert parsed(tmp_path, seeds=" 7, 0") == Members("seed", [7, 0])
    assert parsed(tmp_path, folds=3) == Members("fold", [1, 2, 3])
    assert parsed(tmp_path) is None


@pytest.mark.parametrize(
    ("overrides", "options", "message"),
    [
        ([], {"seeds": "0,1,1"}, "gives a seed twice"),
        ([], {"seeds": "0,-1"}, "whole numbers from 0"),
        ([], {"seeds": ""}, "whole numbers from 0"),
        ([], {"seeds": str(2**63)}, "whole numbers from 0"),
        ([], {"num_seeds": 0}, "--num-seeds 0: needs a whole number from 1 to 10,000"),
        ([], {"folds": 1}, "--folds 1: needs a whole number from 2 to 10,000"),
        ([], {"folds": 5, "seeds": "0"}, "--seeds and --folds exclude each other"),
        (["data.fold=1/3"], {"folds": 5}, "has data.fold 1/3"),
        (["data.splits_file=a.csv"], {"folds": 5}, "has data.splits_file a.csv"),
    ],
)
def test_members_that_make_no_sense_are_refused(tmp_path, overrides, options, message):
    with pytest.raises(UserError, match=message):
        parsed(tmp_path, *overrides, **options)


def test_runs_without_predictions_are_evaluated_to_be_compared(copied):
    folders = ["runs/tiny/family-1/seed-3", "runs/alone"]
    assert not any(Run(Path(folder)).predictions_file("test").exists() for folder in folders)
    (found,) = json_of("compare", *folders)["comparisons"]
    assert found["metrics"][0]["conclusion"] == "identical"  # they have the same weights
    for folder in folders:
        assert len(predictions.load(Run(Path(folder)), "test").ids) == 359
        metrics = Run(Path(folder)).read_evaluation("test").metrics
        assert {each["metric"]: each["old"] for each in found["metrics"]} == metrics
    assert metrics["lac_coverage"] is not None  # chosen on validation, which is predicted too


def test_a_family_has_the_spread_with_test_time_augmentation_beside_the_plain_one(copied):
    found = json_of("eval", "runs/folds", "--set", "evaluate.tta=[flip]")
    pooled, values = found["pooled"]["tta"]["flip"], found["tta"]["flip"]["accuracy"]["values"]
    mean = numpy.average(values, weights=found["examples"])
    assert pooled["metrics"]["accuracy"] == pytest.approx(mean)
