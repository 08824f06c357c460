"""A search whose trials are real trainings, with what measures them, and the confirmation."""

import pytest
from searches import RATE, read_search, write_search

from imgcls.compression import networks
from imgcls.run import Run
from imgcls.tuning.folder import StudyFolder
from imgcls.tuning.record import StudyRecord
from imgcls.verbs.tune import tune

pytestmark = [pytest.mark.extras, pytest.mark.full]


@pytest.fixture(scope="module")
def confirmed(prepared, tmp_path_factory):
    """A search by a metric and a cost, confirmed on two seeds; and its experiment."""
    folder = tmp_path_factory.mktemp("search")
    path = write_search(
        folder,
        prepared / "data",
        space={RATE: [0.001, 0.02], "model.filters": [[4], [8]]},
        sampler={"name": "grid"},
        objective={"macro_f1": "maximize"},
        limits={"parameters": {"at_most": 10**6}, "latency": {"at_most": 10**4}},
        trials=3,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        record = tune(read_search(path), folder / "study", confirm=2)
    return path, record


def test_a_metric_is_that_of_eval_on_validation(confirmed):
    path, record = confirmed
    for trial in record.trials:
        run = Run(StudyFolder(path.parent / "study").trial_run(trial.number))
        metrics = run.read_evaluation("validation").metrics
        assert trial.values == {"macro_f1": metrics["macro_f1"]}


def test_the_parameters_are_those_of_the_network(confirmed):
    path, record = confirmed
    for trial in record.trials:
        run = Run(StudyFolder(path.parent / "study").trial_run(trial.number))
        assert trial.runs["parameters"] == [networks.load_logits(run).count_params()]
        assert trial.runs["latency"][0] > 0


def test_the_confirmation_is_of_two_families_on_fresh_seeds(confirmed):
    _, record = confirmed
    assert record.confirmation.seeds == [1, 2]
    assert record.confirmation.trial == record.best[0] != 0
    assert record.confirmation.sentence


def test_the_same_command_again_neither_trains_nor_tests(confirmed, monkeypatch):
    path, record = confirmed
    monkeypatch.chdir(path.parent)
    again: StudyRecord = tune(
        read_search(path), path.parent / "study", confirm=2, program=("no-such-program",)
    )
    assert again.confirmation == record.confirmation
    assert again.trials == record.trials
