"""Weights match the layers of a model by name and shape, and a row says what became of each."""

import numpy
import pytest

from imgcls.errors import DataError, UserError
from imgcls.transfer.class_names import match_classes
from imgcls.transfer.matching import Layer, match
from imgcls.transfer.weights import Leftover, Tensor, Weights

CLASSES = ["cat", "dog"]


def tensors(layer, *shapes, value=1.0):
    return [
        Tensor(f"{layer}/{i}", numpy.full(shape, value, "f4")) for i, shape in enumerate(shapes)
    ]


def layer(name, *shapes):
    return Layer(name, {f"v{i}": numpy.zeros(shape, "f4") for i, shape in enumerate(shapes)})


def weights(layers, **fields):
    return Weights(source="there", path=None, sha256="0" * 64, layers=layers, **fields)


MODEL = [
    layer("stem", (3, 3, 3, 8)),
    layer("norm", (8,), (8,), (8,), (8,)),
    layer("logits", (8, 2), (2,)),
]
SOURCE = {
    "norm": tensors("norm", (8,), (8,), (8,), (8,)),
    "stem": tensors("stem", (3, 3, 3, 8)),
}


def statuses(matched):
    return {row.tensor: row.status for row in matched.rows}


def test_layers_match_by_name_in_whatever_order_they_are():
    matched = match(MODEL, weights(SOURCE), CLASSES, sums_channels=False)
    assert statuses(matched) == {
        "stem/v0": "loaded",
        **{f"norm/v{i}": "loaded" for i in range(4)},
        "logits/v0": "new",
        "logits/v1": "new",
    }
    assert matched.values.keys() == {("stem", 0), *[("norm", i) for i in range(4)]}


def test_every_tensor_of_the_source_has_a_row():
    extra = {**SOURCE, "decoder": tensors("decoder", (5,), (6, 7))}
    leftovers = [Leftover(Tensor("optimizer/0", numpy.zeros(3)), "not a weight of a layer")]
    given = weights(extra, leftovers=leftovers)
    rows = match(MODEL, given, CLASSES, sums_channels=False).rows
    named = {tensor.name for group in extra.values() for tensor in group} | {"optimizer/0"}
    assert {row.source for row in rows if row.source} == named
    unused = {row.tensor: row.shape for row in rows if row.status == "unused"}
    assert unused == {"decoder/0": [5], "decoder/1": [6, 7], "optimizer/0": [3]}


def test_numbers_that_keras_gives_are_counted_from_the_lowest():
    model = [layer("conv2d", (1, 1, 3, 4)), layer("conv2d_1", (1, 1, 4, 5))]
    given = {
        "conv2d_95": tensors("second", (1, 1, 4, 5)),
        "conv2d_94": tensors("first", (1, 1, 3, 4)),
    }
    matched = match(model, weights(given), CLASSES, sums_channels=False)
    assert [row.source for row in matched.rows] == ["first/0", "second/0"]


def test_other_shapes_are_an_error_that_names_the_layers_and_shapes():
    given = {**SOURCE, "norm": tensors("norm", (9,), (9,), (9,), (9,))}
    with pytest.raises(UserError) as error:
        match(MODEL, weights(given), CLASSES, sums_channels=False)
    assert "of another architecture: of 5 tensors 1 match" in str(error.value)
    assert "norm has the shape 9 there, 8 here" in str(error.value)


def test_another_number_of_tensors_is_an_error():
    given = {**SOURCE, "norm": tensors("norm", (8,), (8,))}
    with pytest.raises(UserError, match="norm has 2 tensors there, 4 here"):
        match(MODEL, weights(given), CLASSES, sums_channels=False)


def test_weights_of_another_network_are_refused_with_counts():
    given = {"block1_conv1": tensors("block1_conv1", (3, 3, 3, 64))}
    with pytest.raises(UserError) as error:
        match(MODEL, weights(given), CLASSES, sums_channels=False)
    assert "of 5 tensors 0 match" in str(error.value)
    assert "stem/v0 is missing there" in str(error.value)


def test_a_layer_may_be_missing_in_a_file_but_not_in_a_run():
    given = {"stem": SOURCE["stem"]}
    matched = match(MODEL, weights(given), CLASSES, sums_channels=False)
    assert statuses(matched)["norm/v0"] == "new"
    with pytest.raises(UserError, match="of 5 tensors 1 match"):
        match(MODEL, weights(given, is_complete=True), CLASSES, sums_channels=False)


def test_kernels_for_three_channels_are_summed_for_one_where_the_model_allows_it():
    model = [layer("stem", (3, 3, 1, 8)), *MODEL[1:]]
    kernel = numpy.random.default_rng(0).normal(size=(3, 3, 3, 8)).astype("f4")
    given = weights({**SOURCE, "stem": [Tensor("stem/0", kernel)]})
    matched = match(model, given, CLASSES, sums_channels=True)
    expected = kernel.sum(axis=2, keepdims=True)
    numpy.testing.assert_allclose(matched.values["stem", 0], expected, rtol=1e-5, atol=1e-6)
    assert matched.rows[0].reason == "summed over its 3 channels, for 1"
    with pytest.raises(UserError, match=r"3 channels, but these have 1; set data\.channels: 3"):
        match(model, given, CLASSES, sums_channels=False)


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channels_are_refused_with_what_to_do(channels):
    model = [layer("stem", (3, 3, channels, 8)), *MODEL[1:]]
    with pytest.raises(UserError, match=f"have {channels}; set data.channels: 3"):
        match(model, weights(SOURCE), CLASSES, sums_channels=True)


def test_weights_that_are_not_finite_are_refused():
    given = {**SOURCE, "stem": tensors("stem", (3, 3, 3, 8), value=numpy.nan)}
    with pytest.raises(DataError, match="the weights stem/0 are not finite"):
        match(MODEL, weights(given), CLASSES, sums_channels=False)


def with_head(classes, features=8):
    kernel = numpy.arange(features * len(classes), dtype="f4").reshape(features, -1) + 1
    bias = numpy.arange(len(classes), dtype="f4") + 1
    head = [Tensor("logits/0", kernel), Tensor("logits/1", bias)]
    return weights({**SOURCE, "logits": head}, classes=classes)


def test_rows_of_the_head_follow_the_names_of_the_classes():
    given = with_head(["dog", "bird", "cat"])
    matched = match(MODEL, given, CLASSES, sums_channels=False)
    kernel, bias = (tensor.array for tensor in given.layers["logits"])
    numpy.testing.assert_array_equal(matched.values["logits", 0], kernel[:, [2, 0]])
    numpy.testing.assert_array_equal(matched.values["logits", 1], bias[[2, 0]])
    assert [(row.name, row.source) for row in matched.classes] == [("cat", "cat"), ("dog", "dog")]


def test_rows_of_unknown_classes_stay_random_and_are_listed():
    matched = match(MODEL, with_head(["dog", "bird"]), CLASSES, sums_channels=False)
    numpy.testing.assert_array_equal(matched.values["logits", 1], [0, 1])
    assert [(row.name, row.source) for row in matched.classes] == [("cat", None), ("dog", "dog")]
    head = [row for row in matched.rows if row.tensor.startswith("logits")]
    assert {(row.status, row.reason) for row in head} == {("partly loaded", "1 of 2 classes")}


def test_a_head_without_any_known_class_is_new_and_its_tensors_are_unused():
    matched = match(MODEL, with_head(["ant", "bee"]), CLASSES, sums_channels=False)
    assert statuses(matched)["logits/v0"] == "new"
    assert statuses(matched)["logits/0"] == "unused"
    assert matched.classes == []


def test_a_head_whose_classes_are_not_named_is_new():
    given = weights({**SOURCE, "logits": tensors("logits", (8, 2), (2,))})
    matched = match(MODEL, given, CLASSES, sums_channels=False)
    assert statuses(matched)["logits/v0"] == "new"
    assert "names of its classes" in matched.rows[-3].reason


@pytest.mark.parametrize(("classes", "features"), [(["cat", "dog", "ant"], 9)])
def test_a_head_of_other_features_is_an_error(classes, features):
    with pytest.raises(UserError, match="has the shape 9x3, which does not suit"):
        match(MODEL, with_head(classes, features), CLASSES, sums_channels=False)


@pytest.mark.parametrize(
    ("wanted", "known", "expected"),
    [
        (["cat", "dog"], ["dog", "cat"], [1, 0]),
        (["Cat", "guinea pig"], ["guinea_pig", "cat"], [1, 0]),
        (["cat", "Cat"], ["Cat", "cat"], [1, 0]),  # exact names first
        (["cat"], ["Cat", "CAT"], [None]),  # ambiguous there
        (["Cat", "CAT"], ["cat"], [None, None]),  # ambiguous here
        (["Cat", "cat"], ["cat"], [None, 0]),  # what is taken is not given twice
        (["CAT"], ["cat", "Cat"], [None]),
        (["Straße"], ["STRASSE"], [0]),
        (["bird"], ["birds"], [None]),
    ],
)
def test_class_names_are_folded_only_where_they_stay_distinct(wanted, known, expected):
    assert match_classes(wanted, known) == expected
