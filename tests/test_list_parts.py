"""The command `parts`: the cost of each model, and the settings of a part."""

import pytest
import small_models
from experiments import command, json_of

from imgcls import parts

SHAPE = ("--shape", "16x18x3", "--classes", "10")


@pytest.fixture
def two_models(monkeypatch):
    """Let there be two models, so that the others need not be built."""
    names = parts.list_names
    monkeypatch.setattr(
        parts, "list_names", lambda kind: ["cnn", "speed"] if kind == "models" else names(kind)
    )


def test_each_model_has_a_row_with_its_parameters_and_cost(two_models):
    rows = json_of("parts", "models", *SHAPE)
    assert [row["model"] for row in rows] == ["cnn", "speed"]
    for row in rows:
        settings = parts.make_default_settings("models", row["model"])
        model = small_models.build(settings, (16, 18, 3))
        assert row["parameters"] == small_models.count_parameters(model)
        assert row["error"] is None
        assert min(row["multiply_adds"], row["model_mib"], row["image_mib"]) > 0


def test_the_table_states_what_its_numbers_are_and_fits_80_columns(two_models):
    exit_code, stdout, _ = command("parts", "models", *SHAPE)
    assert exit_code == 0
    assert max(map(len, stdout.splitlines())) <= 80
    assert "Training takes model_mib" in stdout
    header, _, speed = stdout.splitlines()[-3:]
    assert header.split() == ["model", "parameters", "multiply_adds", "model_mib", "image_mib"]
    assert speed.split()[:2] == ["speed", "99,306"]


def test_settings_of_a_model_change_its_row_alone(two_models):
    plain = json_of("parts", "models", *SHAPE)
    changed = json_of("parts", "models", *SHAPE, "--set", "cnn.filters=[8]")
    assert changed[0]["multiply_adds"] != plain[0]["multiply_adds"]
    assert changed[1] == plain[1]


def test_a_model_that_cannot_be_built_says_why(two_models):
    arguments = ("parts", "models", "--shape", "4x9x3", "--classes", "10")
    cnn, speed = json_of(*arguments)
    assert cnn["error"] is None
    assert speed["parameters"] is None
    assert "too small for a total stride of 8" in speed["error"]
    exit_code, stdout, _ = command(*arguments)
    assert exit_code == 0
    assert "images of 4x9 pixels are too small" in stdout
    assert max(map(len, stdout.splitlines())) <= 80


@pytest.mark.full
def test_every_model_has_a_row():
    rows = json_of("parts", "models", "--shape", "32x32x3", "--classes", "10")
    assert [row["model"] for row in rows] == small_models.NAMES
    failed = {row["model"]: row["error"] for row in rows if row["error"]}
    assert failed.keys() <= {small_models.HUB}  # which needs an extra, and a download


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["models", "--classes", "10"], "--classes needs --shape"),
        (["models", "--set", "resnet.depth=56"], "--set needs --shape"),
        (["models", "--shape", "8x8x1"], "--shape needs --classes"),
        (["losses", *SHAPE], "--shape is for `imgcls parts models`"),
        (["models", "--shape", "8x8", "--classes", "2"], "must be height, width and channels"),
        (["models", "--shape", "0x8x3", "--classes", "2"], "must be height, width and channels"),
        (["models", *SHAPE, "--set", "resnt.depth=20"], "did you mean 'resnet'"),
        (["models", *SHAPE, "--set", "depth=20"], "MODEL.KEY=VALUE, such as resnet.depth=56"),
        (["models", *SHAPE, "--set", "resnet.name=cnn"], "each model has its own name"),
        (["models", *SHAPE, "--set", "resnet.depth=21"], "resnet.depth: is 21, but must be 6n"),
        (["models", *SHAPE, "--set", "resnet.deep=20"], "resnet.deep: is not a key that it has"),
    ],
)
def test_a_wrong_option_is_an_error_of_one_line(arguments, message):
    exit_code, stdout, stderr = command("parts", *arguments)
    assert (exit_code, stdout) == (2, "")
    assert message in " ".join(stderr.split())


def test_a_part_is_shown_with_keys_types_defaults_and_sentences():
    exit_code, stdout, stderr = command("parts", "random_affine")
    assert (exit_code, stderr) == (0, "")
    assert stdout.startswith("random_affine (augmentations)\nRotate, shift, scale and shear")
    assert "degrees: number, 0 or more, 180 or less; default 15.0\n    Largest rotation" in stdout
    assert "fill: constant, reflect or nearest; default constant\n    What fills" in stdout
    assert "scale: list of 2, each a number, above 0; default [0.9, 1.1]" in stdout
    assert max(map(len, stdout.splitlines())) <= 80


def test_a_name_of_several_kinds_shows_each():
    parts_of_name = json_of("parts", "calibration")
    assert [part["kind"] for part in parts_of_name] == ["figures", "metrics"]
    assert [each["key"] for each in parts_of_name[1]["settings"]] == ["bins"]


@pytest.mark.parametrize("kind", parts.KINDS)
def test_every_setting_of_every_part_has_a_type_and_a_sentence(kind):
    for name in parts.list_names(kind):
        (part,) = json_of("parts", f"{kind}/{name}")
        fields = parts.load(kind, name).Settings.model_fields
        assert [each["key"] for each in part["settings"]] == [
            key for key in fields if key != "name"
        ]
        for each in part["settings"]:
            assert each["type"], (name, each)
            assert each["description"].endswith("."), (name, each)
            assert each["required"] == fields[each["key"]].is_required()


def test_an_unknown_part_is_an_error_of_one_line_with_the_nearest_name():
    exit_code, stdout, stderr = command("parts", "random_afine")
    assert (exit_code, stdout) == (2, "")
    assert stderr.startswith("imgcls: unknown kind or part 'random_afine'; the kinds are augment")
    assert stderr.endswith("(did you mean 'random_affine'?)\n")
