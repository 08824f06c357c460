"""Lists as spreadsheets save them, and with names as other systems spell them."""

import pytest
from PIL import Image

from imgcls.datasets import manifest
from imgcls.errors import DataError


def prepare(path, **changes):
    return manifest.prepare(
        manifest.Settings(name="manifest", path=str(path), size=[4, 4], channels=1, **changes)
    )


@pytest.fixture
def photos(tmp_path):
    for name in ("a.png", "c c.png", "deep/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lists_of_spreadsheets_are_read(photos, separator, encoding, end):
    rows = ["path,label,weight,", "a.png,cat,1.5,", ",,,", "c c.png,dog,2,"]
    path = photos / "list.csv"
    path.write_bytes(end.join(rows).replace(",", separator).encode(encoding))
    source = prepare(path)
    assert source.classes == ["cat", "dog"]
    assert [entry.weight for entry in source.entries] == [1.5, 2.0]


def test_a_first_line_names_the_separator_and_weights_have_decimal_commas(photos):
    path = photos / "list.csv"
    path.write_text("sep=;\npath;label;weight\na.png;cat;0,5\nc c.png;dog;1\n")
    assert [entry.weight for entry in prepare(path).entries] == [0.5, 1.0]
    path.write_text("sep=;\npath;label;weight\na.png;cat;-1\nc c.png;dog;1\n")
    with pytest.raises(DataError, match=r"list.csv:3: weight must be"):
        prepare(path)


@pytest.mark.parametrize("on_bad_image", ["fail", "skip"])
def test_listed_paths_are_found_in_another_form_and_with_other_slashes(photos, on_bad_image):
    (photos / "deep/b.png").rename(photos / "deep/e\u0301.png")
    path = photos / "list.csv"
    path.write_text("path,label\na.png,cat\ndeep\\\u00e9.png,dog\n")
    source = prepare(path, on_bad_image=on_bad_image)
    assert [entry.id for entry in source.entries] == ["a.png", "deep/e\u0301.png"]


def test_labels_in_another_form_or_with_edge_spaces_are_one_class(photos, capsys):
    path = photos / "list.csv"
    path.write_text("path,label\na.png,caf\u00e9\nc c.png,cafe\u0301 \ndeep/b.png,tea\n")
    assert prepare(path).classes == ["caf\u00e9", "tea"]
    assert "is written in 2 ways" in capsys.readouterr().err
