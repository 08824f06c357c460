"""Keras's three formats are read without building a model, and attacks are refused."""

import json
import zipfile

import h5py
import numpy
import pytest

from imgcls.errors import DataError, UserError
from imgcls.transfer.keras_file import read_keras_file
from imgcls.transfer.scaling import find_scaling

FORMATS = ("model.weights.h5", "model.keras", "model.h5", "weights_only.h5")


@pytest.fixture(scope="module")
def model():
    from imgcls.backend import keras

    layers = keras.layers
    inner = keras.Sequential(
        [
            layers.Input((8, 8, 4)),
            layers.SeparableConv2D(5, 3, name="separable"),
            layers.BatchNormalization(name="norm"),
        ],
        name="inner",
    )
    model = keras.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Rescaling(1 / 255, name="rescale"),
            layers.Conv2D(4, 3, padding="same", name="first"),
            inner,
            layers.Dropout(0.5),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, name="last"),
        ]
    )
    generator = numpy.random.default_rng(0)
    model.set_weights([generator.normal(size=each.shape) for each in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    """A folder with the model in each format."""
    folder = tmp_path_factory.mktemp("formats")
    model.save_weights(folder / "model.weights.h5")
    model.save(folder / "model.keras")
    model.save(folder / "model.h5")
    with h5py.File(folder / "model.h5") as source, h5py.File(folder / FORMATS[3], "w") as target:
        for name in source["model_weights"]:
            source.copy(f"model_weights/{name}", target)
        target.attrs.update(source["model_weights"].attrs)
    return folder


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("name", FORMATS)
def test_the_tensors_of_each_layer_are_read_in_its_order(folder, model, name):
    found = read_keras_file(folder / name)
    inner = model.get_layer("inner")
    layers = [model.get_layer("first"), *inner.layers, model.get_layer("last")]
    assert found.layers.keys() == {layer.name for layer in layers}
    for layer in layers:
        arrays = [tensor.array for tensor in found.layers[layer.name]]
        for actual, expected in zip(arrays, layer.get_weights(), strict=True):
            numpy.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("name", FORMATS)
def test_every_array_of_a_file_is_among_its_tensors(folder, tmp_path, name):
    found, path = read_keras_file(folder / name), folder / name
    if name.endswith(".keras"):
        with zipfile.ZipFile(path) as archive:
            path = archive.extract("model.weights.h5", tmp_path)
    arrays = []
    with h5py.File(path) as file:
        file.visititems(lambda key, item: arrays.append(key) if hasattr(item, "shape") else None)
    names = [tensor.name for group in found.layers.values() for tensor in group]
    assert sorted([*names, *[each.tensor.name for each in found.leftovers]]) == sorted(arrays)


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_the_scaling_of_the_pixels_is_read_from_the_configuration(folder, name):
    found = read_keras_file(folder / name)
    scaling = find_scaling(found.layer_configs, found.layers)
    assert scaling.layers == ["rescale"]
    assert float(scaling.scale) == pytest.approx(1 / 255)


def test_files_of_weights_alone_say_nothing_of_the_scaling(folder):
    assert read_keras_file(folder / "model.weights.h5").layer_configs is None
    assert read_keras_file(folder / "weights_only.h5").layer_configs is None


def test_names_of_tensors_as_keras_2_wrote_them_are_read(tmp_path):
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["layer_names"] = [b"input_1", b"block1_conv1", b"fc"]
        for layer, names in (("input_1", []), ("block1_conv1", ["W_1:0", "b_1:0"])):
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{layer}_{name}".encode() for name in names]
            for number, name in enumerate(names):
                group[f"{layer}_{name}"] = numpy.full(number + 1, number, "f4")
        group = file.create_group("fc")
        group.attrs["weight_names"] = [b"fc_2/kernel:0", b"fc_2/bias:0"]
        group["fc_2/kernel:0"], group["fc_2/bias:0"] = numpy.ones((2, 3)), numpy.zeros(3)
    found = read_keras_file(tmp_path / "old.h5")
    shapes = {
        name: [tensor.array.shape for tensor in group] for name, group in found.layers.items()
    }
    assert shapes == {"block1_conv1": [(1,), (2,)], "fc": [(2, 3), (3,)]}


def test_long_lists_of_layers_which_keras_divides_are_read_whole(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs["layer_names0"], file.attrs["layer_names1"] = [b"a"], [b"b"]
        for layer in "ab":
            file.create_group(layer).attrs["weight_names"] = [b"w"]
            file[layer]["w"] = numpy.ones(2)
    assert read_keras_file(tmp_path / "x.h5").layers.keys() == {"a", "b"}


def test_bfloat16_is_read_as_float32(tmp_path):
    from imgcls.backend import keras

    layers = [keras.Input((3,)), keras.layers.Dense(2, dtype="bfloat16", name="dense")]
    model = keras.Sequential(layers)
    model.save_weights(tmp_path / "x.weights.h5")
    kernel = read_keras_file(tmp_path / "x.weights.h5").layers["dense"][0].array
    expected = keras.ops.convert_to_numpy(keras.ops.cast(model.layers[0].kernel, "float32"))
    numpy.testing.assert_array_equal(kernel, expected)


def test_a_file_of_an_older_keras_without_names_is_refused_with_what_to_do(folder, tmp_path):
    path = tmp_path / "x.weights.h5"
    path.write_bytes((folder / "model.weights.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        del file["layers/conv2d/vars"].attrs["name"]
    with pytest.raises(UserError, match=r"does not name its layers.* save it again"):
        read_keras_file(path)


def change_config(folder, path, change):
    """Write a copy of the .keras file whose configuration is changed."""
    with zipfile.ZipFile(folder / "model.keras") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            new.writestr(name, content)


def add_lambda(config):
    function = {"class_name": "__lambda__", "config": {"code": "4wE="}}
    layer = {"class_name": "Lambda", "config": {"name": "evil", "function": function}}
    config["config"]["layers"].append(layer)


def add_nested_lambda(config):
    inner = next(each for each in config["config"]["layers"] if each["class_name"] == "Sequential")
    add_lambda(inner)


def add_lambda_as_setting(config):
    function = {"class_name": "__lambda__", "config": {"code": "4wE="}}
    config["config"]["layers"][2]["config"]["activation"] = function


def add_lambda_in_a_wrapper(config):
    layer = {"class_name": "Lambda", "config": {"name": "evil", "function": ["4wE=", None, None]}}
    wrapper = {"class_name": "TimeDistributed", "config": {"name": "outer", "layer": layer}}
    config["config"]["layers"].append(wrapper)


@pytest.mark.parametrize(
    "change", [add_lambda, add_nested_lambda, add_lambda_as_setting, add_lambda_in_a_wrapper]
)
def test_a_file_with_python_code_is_refused(folder, tmp_path, change):
    change_config(folder, tmp_path / "x.keras", change)
    with pytest.raises(DataError, match=r"is refused: its layer .* has Python code"):
        read_keras_file(tmp_path / "x.keras")


def test_a_legacy_file_with_python_code_is_refused(folder, tmp_path):
    path = tmp_path / "x.h5"
    path.write_bytes((folder / "model.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        add_lambda(config)
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(DataError, match="its layer 'evil'"):
        read_keras_file(path)


def link_elsewhere(file, group, secret):
    del group["1"]
    group["1"] = h5py.ExternalLink(str(secret), "x")


def store_elsewhere(file, group, secret):
    del group["1"]
    raw = [(str(secret), 0, 16)]
    group.create_dataset("1", (4,), "f4", external=raw)


def map_elsewhere(file, group, secret):
    del group["1"]
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(str(secret), "x", (4,))
    group.create_virtual_dataset("1", layout)


def claim_terabytes(file, group, secret):
    del group["1"]
    group.create_dataset("1", (1 << 40,), "f4", chunks=(1024,), compression="gzip")


@pytest.mark.parametrize(
    ("attack", "problem"),
    [
        (link_elsewhere, None),
        (store_elsewhere, "in another file"),
        (map_elsewhere, "in another file"),
        (claim_terabytes, "claims 4,398,046,511,104 bytes"),
    ],
)
def test_tensors_outside_the_file_are_not_read(folder, tmp_path, attack, problem):
    path, secret = tmp_path / "x.weights.h5", tmp_path / "secret.h5"
    path.write_bytes((folder / "model.weights.h5").read_bytes())
    with h5py.File(secret, "w") as file:
        file["x"] = numpy.arange(4, dtype="f4")
    with h5py.File(path, "r+") as file:
        attack(file, file["layers/conv2d/vars"], secret)
    if problem:
        with pytest.raises(DataError, match=problem):
            read_keras_file(path)
    else:  # as if it was not there: the layer then lacks a tensor
        assert len(read_keras_file(path).layers["first"]) == 1


@pytest.mark.parametrize("group", ["model_weights", "model_weights/first"])
def test_groups_outside_the_file_are_not_read(folder, tmp_path, group):
    path, other = tmp_path / "x.h5", folder / "model.h5"
    path.write_bytes(other.read_bytes())
    with h5py.File(path, "r+") as file:
        del file[group]
        file[group] = h5py.ExternalLink(str(other), group)
    with pytest.raises(DataError, match=r"is refused: its group (model_weights|first) is missing"):
        read_keras_file(path)


@pytest.mark.parametrize("name", FORMATS)
def test_truncated_files_are_damage(folder, tmp_path, name):
    content = (folder / name).read_bytes()
    for tenth in range(10):
        (tmp_path / "x").write_bytes(content[: len(content) * tenth // 10])
        with pytest.raises(DataError, match="is damaged"):
            read_keras_file(tmp_path / "x")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "neither an HDF5 file nor a zip archive"),
        (b"<html>404</html>", "neither an HDF5 file nor a zip archive"),
        (b"\x89HDF\r\n\x1a\n" + bytes(2000), "damaged"),
    ],
)
def test_files_of_another_kind_are_damage(tmp_path, content, problem):
    (tmp_path / "x.h5").write_bytes(content)
    with pytest.raises(DataError, match=problem):
        read_keras_file(tmp_path / "x.h5")


def test_a_zip_archive_of_something_else_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.keras", "w") as archive:
        archive.writestr("data.pkl", b"")
    with pytest.raises(DataError, match=r"a zip archive without config\.json"):
        read_keras_file(tmp_path / "x.keras")


def test_an_archive_that_expands_to_gigabytes_is_not_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(1 << 24))
    with pytest.raises(DataError, match=r"model\.weights\.h5 claims 16,777,216 bytes"):
        read_keras_file(tmp_path / "x.keras")


def test_an_hdf5_file_without_weights_is_named(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["images"] = numpy.zeros(3)
    with pytest.raises(DataError, match="has no weights of layers"):
        read_keras_file(tmp_path / "x.h5")
