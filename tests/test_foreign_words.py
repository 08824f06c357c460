"""Words of other trainers: each is refused, with a key of ours that works."""

import re

import pytest
from experiments import write_experiment

from imgcls import foreign_words, parts
from imgcls.experiment_file import read_experiment
from imgcls.io import yaml_file
from imgcls.io.yaml_file import ProblemsError

TABLE = foreign_words.read_table()
PHOTOS = {"name": "a", "data": {"name": "folder", "path": "x"}, "model": {"name": "cnn"}}
SECTIONS = ("", "data.", "train.", "train.optimizer.", "model.")


def find_problems(folder, override):
    try:
        read_experiment(write_experiment(folder, PHOTOS), [override])
    except ProblemsError as error:
        return error.problems
    return []


def problem_of(folder, override):
    (problem,) = find_problems(folder, override)
    return problem


def test_the_table_has_the_words_that_people_try_first():
    words = set(TABLE["keys"]) | set(TABLE["without_key"])
    assert len(words) > 250
    wanted = "lr batch imgsz image_size folder val_split patience rotation workers amp wd device"
    assert set(wanted.split()) | {"pretrained", "num_classes", "shuffle", "resume"} <= words


@pytest.mark.parametrize("assignment", sorted(set(TABLE["keys"].values())))
def test_the_example_of_a_key_is_valid(tmp_path, assignment):
    path = write_experiment(tmp_path, {**PHOTOS, "train": {"deterministic": False}})
    assert read_experiment(path, [assignment])


@pytest.mark.parametrize("section", SECTIONS)
def test_a_word_is_refused_with_our_key_wherever_it_is_written(tmp_path, section):
    for word, assignment in TABLE["keys"].items():
        key = assignment.partition("=")[0]
        for problem in find_problems(tmp_path, f"{section}{word}=1"):
            if "unknown key" in problem:  # it can be one of ours there
                assert "did you mean" not in problem
                named = rf"the key is .*({key}|\.{word})|it is a key of"
                assert re.search(named, problem), problem


@pytest.mark.parametrize("word", ["lr", "batch", "imgsz", "patience", "rotation", "workers", "amp"])
def test_a_word_at_the_top_names_our_key_with_its_place(tmp_path, word):
    path = tmp_path / "a.yaml"
    path.write_text(f"name: a\ndata: digits\nmodel: cnn\n{word}: 1\n")
    with pytest.raises(ProblemsError) as raised:
        read_experiment(path)
    (problem,) = raised.value.problems
    assert problem.startswith(f"{path}:4:1: unknown key '{word}'; the key is ")


@pytest.mark.parametrize(
    ("key", "ours"),
    [
        ("epochs", "the key is train.epochs"),
        ("batch_size", "the key is train.batch_size"),
        ("size", "the key is data.size"),
        ("dropout", "the key is model.dropout"),
        ("train.size", "the key is data.size"),
        ("data.epochs", "the key is train.epochs"),
        ("train.optimizer.momentum", "it is a key of muon, sgd"),
        ("model.depth", "it is a key of resnet, wide_resnet"),
        ("multi_label", "multi-label classification is out of scope"),
        ("Batch-Size", "the key is train.batch_size"),
    ],
)
def test_a_key_of_ours_in_another_place_is_led_home(tmp_path, key, ours):
    assert f"; {ours}" in problem_of(tmp_path, f"{key}=1")


@pytest.mark.parametrize("kind", TABLE["parts"])
def test_what_is_written_for_the_names_of_others_is_a_part_of_ours(kind):
    part = parts.PartOf(kind)
    for word, ours in TABLE["parts"][kind].items():
        assert part.validate(yaml_file.parse(ours, "").value).name in part.names
        assert word not in part.names


@pytest.mark.parametrize(
    ("override", "ours"),
    [
        ("model=resnet50", "(write {name: resnet, depth: 50})"),
        ("augment=[RandomHorizontalFlip]", "(write random_flip)"),
        ("train.schedule=CosineAnnealingLR", "(write cosine)"),
        ("train.precision=bf16", "(write mixed_bfloat16)"),
        ("train.precision=16-mixed", "(write mixed_float16)"),
        ("train.monitor=val_acc", "(write val_accuracy)"),
        ("train.optimizer=AdamW", "(did you mean 'adamw'?)"),
    ],
)
def test_names_and_values_of_others_are_led_to_ours(tmp_path, override, ours):
    assert problem_of(tmp_path, override).endswith(ours)


def test_a_value_is_led_only_to_one_that_is_allowed(tmp_path):
    assert "(write" not in problem_of(tmp_path, "train.monitor=bf16")
