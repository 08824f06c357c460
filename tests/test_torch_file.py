"""PyTorch's files are read without PyTorch; one that would run code is refused, and a damaged one
is an error in one line.
"""

import os
import pickle
import zipfile
from collections import OrderedDict

import numpy
import pytest
from torch_files import FORMATS, MAGIC, PROTOCOL, Tensor, write_legacy, write_zip

from imgcls.errors import DataError
from imgcls.transfer.keras_file import read_keras_file
from imgcls.transfer.torch_file import LEGACY_MAGIC, LEGACY_PROTOCOL, read_torch_file

ADVICE = "fetch it again"
each_format = pytest.mark.parametrize("write", FORMATS.values(), ids=list(FORMATS))


def read(path):
    return read_torch_file(path, ADVICE)


@each_format
def test_tensors_of_every_shape_and_kind_are_read(tmp_path, write):
    generator = numpy.random.default_rng(0)
    arrays = {
        "matrix": generator.normal(size=(3, 5)).astype("f4"),
        "kernel": generator.normal(size=(4, 3, 2, 2)).astype("f8"),
        "half": generator.normal(size=7).astype("f2"),
        "count": numpy.array(12345678901),
        "empty": numpy.zeros((0, 4), "f4"),
    }
    write(tmp_path / "x.pth", OrderedDict((name, Tensor(each)) for name, each in arrays.items()))
    found = read(tmp_path / "x.pth")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        numpy.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


@each_format
def test_numbers_of_an_unknown_type_are_named_and_no_damage(tmp_path, write):
    write(tmp_path / "x.pth", OrderedDict(kernel=Tensor(numpy.zeros(3, "u2"))))
    message = "x.pth has a BFloat16Storage, .* does not read; save its tensors as float32"
    with pytest.raises(DataError, match=message):
        read(tmp_path / "x.pth")


@each_format
def test_views_of_one_storage_are_read_with_their_offsets_and_strides(tmp_path, write):
    whole = numpy.arange(24, dtype="f4")
    state = {
        "transposed": Tensor(whole, size=(6, 4), stride=(1, 6), key="0"),
        "tail": Tensor(whole, offset=20, size=(4,), stride=(1,), key="0"),
    }
    write(tmp_path / "x.pth", state)
    found = read(tmp_path / "x.pth")
    numpy.testing.assert_array_equal(found["transposed"], whole.reshape(4, 6).T)
    numpy.testing.assert_array_equal(found["tail"], whole[20:])


def test_the_metadata_of_a_state_dict_does_not_matter(tmp_path):
    state = OrderedDict(a=Tensor(numpy.ones(2, "f4")))
    state._metadata = OrderedDict({"": {"version": 1}})
    write_zip(tmp_path / "x.pth", state)
    assert read(tmp_path / "x.pth").keys() == {"a"}


class Attack:
    """Runs a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.pair = function, arguments

    def __reduce__(self):
        return self.pair


@each_format
@pytest.mark.parametrize("function", [os.system, eval, exec, getattr, __import__, print])
def test_a_pickle_that_calls_a_function_is_refused_before_it_does(tmp_path, write, function):
    proof = tmp_path / "proof"
    write(tmp_path / "x.pth", {"a": Attack(function, f"open({str(proof)!r}, 'w')")})
    name = f"{function.__module__}.{function.__name__}".replace("builtins", "__builtin__")
    with pytest.raises(DataError, match=r"is refused: it refers to .*could run code") as error:
        read(tmp_path / "x.pth")
    assert name in str(error.value)
    assert not proof.exists()


@pytest.mark.parametrize("position", [0, 1, 2])
def test_the_pickles_before_the_tensors_are_read_with_the_same_care(tmp_path, position):
    parts = [pickle.dumps(each, 2) for each in (MAGIC, PROTOCOL, {})]
    parts[position] = pickle.dumps(Attack(os.system, "true"), 2)
    (tmp_path / "x.pth").write_bytes(b"".join(parts))
    with pytest.raises(DataError, match=r"refers to posix\.system"):
        read(tmp_path / "x.pth")


def test_a_pickle_cannot_change_what_the_reader_calls(tmp_path):
    """The opcode BUILD sets attributes of an object; here, defaults of a function."""
    body = (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n"  # the function
        b"N}X\x0c\x00\x00\x00__defaults__)s\x86b."  # BUILD with (None, {"__defaults__": ()})
    )
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("archive/data.pkl", body)
    with pytest.raises(DataError, match="refers to the attribute __defaults__ of a function"):
        read(tmp_path / "x.pth")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"size": (7,), "stride": (1,)}, "exceed its 6 elements"),
        ({"size": (3, 3), "stride": (2, 1)}, "exceed its 6 elements"),
        ({"size": (2, 2), "stride": (5, 1)}, "exceed its 6 elements"),
        ({"offset": 1}, "exceed its 6 elements"),
        ({"size": (10**12,), "stride": (0,)}, "exceed its 6 elements"),
        ({"size": (2**63, 2**63), "stride": (0, 0)}, "exceed its 6 elements"),
        ({"offset": -1}, "it has no storage"),
        ({"size": (-1, -6)}, "not a tuple of counts"),
        ({"stride": (3, -1)}, "not a tuple of counts"),
        ({"size": (2.0, 3.0)}, "not a tuple of counts"),
        ({"size": [2, 3]}, "not a tuple of counts"),
        ({"stride": (1,)}, "do not match"),
        ({"size": (1,) * 40, "stride": (1,) * 40}, "do not match"),
        ({"length": 5}, "exceed its 5 elements|has 24 bytes|early|has 5 elements"),
        ({"length": 10**15}, "has 24 bytes|ends"),
    ],
)
@each_format
def test_wrong_sizes_and_strides_are_damage(tmp_path, write, changes, problem):
    tensor = Tensor(numpy.zeros((2, 3), "f4"), **changes)
    write(tmp_path / "x.pth", {"a": tensor})
    with pytest.raises(DataError, match=f"is damaged .*({problem}).*; {ADVICE}"):
        read(tmp_path / "x.pth")


@each_format
def test_a_truncated_file_is_damage_wherever_it_ends(tmp_path, write):
    state = {name: Tensor(numpy.arange(9, dtype="f4")) for name in "ab"}
    write(tmp_path / "whole.pth", state)
    content = (tmp_path / "whole.pth").read_bytes()
    for size in range(0, len(content), 7):
        (tmp_path / "x.pth").write_bytes(content[:size])
        with pytest.raises(DataError, match="is damaged"):
            read(tmp_path / "x.pth")


def test_flipped_bits_are_found_or_change_numbers_only(tmp_path):
    write_zip(tmp_path / "whole.pth", {"a": Tensor(numpy.arange(9, dtype="f4"))})
    content = bytearray((tmp_path / "whole.pth").read_bytes())
    for position in range(0, len(content), 3):
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        (tmp_path / "x.pth").write_bytes(changed)
        try:
            read(tmp_path / "x.pth")
        except DataError:
            continue


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        ([1, 2], "it holds list, not a state dict"),
        ({"a": 5}, "its entry 'a' is not a tensor"),
        ({1: Tensor(numpy.zeros(2, "f4"))}, "its entry 1 is not a tensor"),
        ({"a": {"b": Tensor(numpy.zeros(2, "f4"))}}, "its entry 'a' is not a tensor"),
    ],
)
@each_format
def test_what_is_not_a_state_dict_is_named(tmp_path, write, state, problem):
    write(tmp_path / "x.pth", state)
    with pytest.raises(DataError, match=problem):
        read(tmp_path / "x.pth")


def test_compressed_members_which_pytorch_does_not_write_are_not_read(tmp_path):
    """A member of a few kilobytes could expand to gigabytes."""
    state = {"a": Tensor(numpy.zeros(1 << 20, "f4"))}
    write_zip(tmp_path / "x.pth", state, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match="is compressed"):
        read(tmp_path / "x.pth")


def test_another_byte_order_is_not_read_as_if_it_were_this_one(tmp_path):
    write_zip(tmp_path / "x.pth", {"a": Tensor(numpy.zeros(2, "f4"))}, byteorder=b"big")
    with pytest.raises(DataError, match="byte order is b'big'"):
        read(tmp_path / "x.pth")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*x\.pth: No such file"):
        read(tmp_path / "x.pth")


def test_the_magic_numbers_are_those_of_the_files(tmp_path):
    assert (LEGACY_MAGIC, LEGACY_PROTOCOL) == (MAGIC, PROTOCOL)
    write_legacy(tmp_path / "x.pth", {})
    assert read(tmp_path / "x.pth") == {}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_keras_refuses_a_pickle_as_what_it_is(tmp_path, protocol):
    (tmp_path / "x.h5").write_bytes(pickle.dumps({"a": print}, protocol))
    with pytest.raises(DataError, match=r"x\.h5 is refused: it is a pickle, .* can run code; give"):
        read_keras_file(tmp_path / "x.h5")


def test_a_file_of_pytorch_is_refused_as_what_it_is(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.keras", "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    with pytest.raises(DataError, match=r"x\.keras is refused: it is a file of PyTorch"):
        read_keras_file(tmp_path / "x.keras")
