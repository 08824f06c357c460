"""A search with a stand-in for training: what is proposed, counted, written and refused."""

import json
import os
import sqlite3
from types import SimpleNamespace

import pytest
import yaml
from searches import RATE, behave, list_starts, search, show, write_search

from imgcls.errors import UserError
from imgcls.experiment_file import read_experiment
from imgcls.tuning import proposals, slots
from imgcls.tuning.folder import StudyFolder
from imgcls.tuning.objective import combine

pytestmark = pytest.mark.extras


@pytest.fixture(scope="module")
def finished(prepared, tmp_path_factory):
    """The folder of a finished search of 12 trials, and its record."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return folder, search(write_search(folder, prepared / "data", trials=12))


@pytest.fixture
def store(prepared):
    """The folder of the digits' store."""
    return prepared / "data"


def test_the_files_own_values_are_trial_0(finished):
    _, record = finished
    assert record.trials[0].parameters == {RATE: 0.001, "train.batch_size": "256"}


def test_every_trial_has_its_run_and_the_best_is_the_highest(finished):
    folder, record = finished
    assert [trial.number for trial in record.trials] == list(range(12))
    assert {trial.state for trial in record.trials} == {"finished"}
    values = [trial.values["val_accuracy"] for trial in record.trials]
    assert record.best == [values.index(max(values))]
    for trial in record.trials:
        run = StudyFolder(folder / "study").trial_run(trial.number)
        (last,) = (run / "log.jsonl").read_text().splitlines()[-1:]
        assert json.loads(last)["val_accuracy"] == trial.values["val_accuracy"]


def test_best_yaml_is_an_experiment_with_the_best_values(finished):
    folder, record = finished
    best = read_experiment(folder / "study" / "best.yaml")
    (number,) = record.best
    parameters = record.trials[number].parameters
    assert best.train.optimizer.learning_rate == parameters[RATE]
    assert str(best.train.batch_size) == parameters["train.batch_size"]
    assert best.tune is None


def test_optuna_itself_reads_the_study(finished):
    """As optuna-dashboard does."""
    import optuna

    folder, record = finished
    (name,) = optuna.get_all_study_names(f"sqlite:///{folder / 'study' / 'study.db'}")
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{folder / 'study' / 'study.db'}")
    assert study.best_trial.number == record.best[0]
    assert len(study.trials) == 12


def test_the_learning_rate_matters_more_than_the_batch_size_that_does_not(finished):
    _, record = finished
    assert record.importances[RATE] > record.importances["train.batch_size"]
    assert sum(record.importances.values()) == pytest.approx(1)


def test_the_page_has_all_figures_and_trials(finished):
    folder, _ = finished
    page = (folder / "study" / "study.html").read_text()
    for name in ("history", "importances", "slices", "parallel_coordinates"):
        assert f'<figure id="{name}">' in page
        assert (folder / "study" / "figures" / f"{name}.png").is_file()
    assert page.count("<tr>") == 1 + 12


def test_the_same_search_proposes_the_same_and_another_seed_others(store, workspace):
    path = write_search(workspace, store)
    first = search(path, folder=workspace / "a")
    again = search(path, folder=workspace / "b")
    other = search(path, ["seed=1", "data.split_seed=0"], folder=workspace / "c")
    assert show(first) == show(again)
    assert first.trials[1].parameters != other.trials[1].parameters


def test_a_finished_search_does_nothing_more_and_more_trials_can_be_asked_for(store, workspace):
    path = write_search(workspace, store)
    first = search(path)
    assert show(search(path)) == show(first)
    assert list_starts() == [0, 1, 2, 3]
    more = search(path, ["tune.trials=6"])
    assert show(more)[:4] == show(first)
    assert list_starts() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("sampler", ["random", "cma_es"])
def test_other_samplers_stay_within_the_space(sampler, store, workspace):
    path = write_search(workspace, store, sampler={"name": sampler}, trials=8)
    record = search(path)
    assert len({trial.parameters[RATE] for trial in record.trials}) == 8
    assert all(1e-4 <= trial.parameters[RATE] <= 1e-1 for trial in record.trials)


def test_a_grid_tries_the_files_values_and_then_each_point_once(store, workspace):
    space = {RATE: [0.001, 0.01, 0.1], "train.batch_size": [128, 256]}
    path = write_search(workspace, store, sampler={"name": "grid"}, space=space, trials=None)
    record = search(path)
    points = {tuple(trial.parameters.values()) for trial in record.trials}
    assert len(record.trials) == len(points) == 6
    assert record.trials[0].parameters == {RATE: "0.001", "train.batch_size": "256"}


@pytest.mark.parametrize(
    "pruner", [{"name": "median", "first_trials": 1}, {"name": "asha"}, {"name": "hyperband"}]
)
def test_a_pruner_stops_bad_trials_and_not_the_best(pruner, store, workspace):
    behave(seconds=0.1)
    path = write_search(workspace, store, pruner=pruner, trials=6)
    record = search(path, ["train.epochs=9"])
    states = [trial.state for trial in record.trials]
    assert states.count("finished") + states.count("pruned") == 6
    assert "pruned" in states
    pruned = next(trial for trial in record.trials if trial.state == "pruned")
    assert "pruned after epoch" in pruned.reason
    assert pruned.epochs[0][0] == 1
    assert record.trials[record.best[0]].state == "finished"


def test_what_the_space_does_not_have_of_the_file_is_trained_all_the_same(store, workspace):
    record = search(write_search(workspace, store), ["train.batch_size=64"])
    assert record.trials[0].parameters == {RATE: 0.001}
    file = yaml.safe_load((workspace / "study" / "trials" / "0.yaml").read_text())
    assert file["train"]["batch_size"] == 64


def test_two_objectives_give_a_front(store, workspace):
    path = write_search(
        workspace, store, objective={"val_accuracy": "maximize", "val_loss": "minimize"}
    )
    record = search(path)
    assert len(record.best) == 1  # the stand-in's loss is 1 - accuracy
    assert '<figure id="pareto">' in (workspace / "study" / "study.html").read_text()


def test_a_trial_over_a_limit_is_not_the_best(store, workspace):
    path = write_search(workspace, store)
    free = search(path, folder=workspace / "free")
    (best,) = free.best
    most = free.trials[best].values["val_accuracy"] - 1e-6
    limited = search(
        path, [f"tune.limits={{val_accuracy: {{at_most: {most}}}}}"], folder=workspace / "limited"
    )
    assert not limited.trials[best].is_allowed
    assert limited.best != [best]


@pytest.mark.parametrize("several", ["seeds", "folds"])
def test_a_trial_of_several_runs_has_their_mean_and_spread(several, store, workspace):
    record = search(write_search(workspace, store, trials=2, **{several: 3}))
    for trial in record.trials:
        values = trial.runs["val_accuracy"]
        assert values == pytest.approx([values[0], values[0] + 0.01, values[0] + 0.02])
        assert trial.stds["val_accuracy"] == pytest.approx(0.01)
        expected = values[0] + 0.01 - 0.01 / 3**0.5
        assert trial.values["val_accuracy"] == pytest.approx(expected)


def test_a_budget_ends_the_search_before_a_trial_that_would_not_fit(store, workspace):
    behave(seconds=0.5)
    path = write_search(workspace, store, trials=None, budget="4s")
    record = search(path)
    assert 1 < len(record.trials) < 6
    assert record.seconds < 5
    assert len(search(path).trials) == len(record.trials)


def test_jobs_share_the_cores_equally(monkeypatch):
    monkeypatch.setattr(slots, "_list_cores", lambda: [0, 1, 2, 3, 4])
    assert [slot.cores for slot in slots.make_slots(2)] == [(0, 1), (2, 3)]
    assert slots.make_slots(1)[0].cores is None


def test_a_job_for_each_gpu(monkeypatch):
    gpus = [SimpleNamespace(uuid=uuid) for uuid in ("GPU-a", "GPU-b")]
    monkeypatch.setattr(slots, "list_gpus", lambda: gpus)
    monkeypatch.setattr(slots, "_list_cores", lambda: [0, 1, 2, 3])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = [slot.variables["CUDA_VISIBLE_DEVICES"] for slot in slots.make_slots(2)]
    assert found == ["GPU-a", "GPU-b"]
    with pytest.raises(UserError, match="has 2 GPUs"):
        slots.make_slots(3)


def test_two_jobs_run_on_their_own_cores(store, workspace):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    behave(seconds=0.2)
    search(write_search(workspace, store), jobs=2)
    lines = (workspace / "starts.txt").read_text().splitlines()
    cores = {line.partition(" ")[2] for line in lines}
    assert len(lines) == 4
    assert len(cores) == 2


def test_a_file_of_the_current_folder_takes_no_modules_place(store, workspace):
    (workspace / "ctypes.py").write_text("raise RuntimeError('not this one')\n")
    record = search(write_search(workspace, store, trials=1))
    assert [trial.state for trial in record.trials] == ["finished"]


def test_no_two_trials_have_one_seed():
    seeds = {proposals.derive_sampler_seed(0, number) for number in range(1000)}
    assert len(seeds) == 1000


def test_several_runs_of_a_trial_count_by_their_mean_and_spread():
    assert combine([0.5], "maximize") == (0.5, None)
    value, std = combine([0.4, 0.6], "maximize")
    assert (value, std) == (pytest.approx(0.5 - 0.1), pytest.approx(0.02**0.5))
    assert combine([0.4, 0.6], "minimize")[0] == pytest.approx(0.5 + 0.1)


def test_the_leases_table_is_beside_optunas(finished):
    folder, _ = finished
    with sqlite3.connect(folder / "study" / "study.db") as database:
        rows = database.execute("SELECT trial FROM imgcls_leases").fetchall()
    assert sorted(number for (number,) in rows) == list(range(12))
