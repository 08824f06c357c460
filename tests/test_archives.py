"""Archives are read without extracting them, or are errors; the standard library writes them."""

import io
import tarfile

import numpy
import pytest

from imgcls.errors import DataError
from imgcls.image.decode import ImageError
from imgcls.io import archives

CONTENT = {
    "a.JPEG": b"first",
    "sub/b.JPEG": b"x" * 1000,
    "naïve \n\udcff.JPEG": b"strange name",
    "empty.JPEG": b"",
}


def tar_bytes(content, mode="w", layout=tarfile.GNU_FORMAT, members=()):
    """Return a tar archive of files and other members."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode, format=layout) as tar:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for member in members:
            tar.addfile(member)
    return stream.getvalue()


def special_member(kind, name="special"):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    return member


def put(folder, data, name="photos.tar"):
    path = folder / name
    path.write_bytes(data)
    return path


def contents(archive, folder):
    found = archives.load_index(archive, folder)
    rows = zip(found.names.tolist(), found.starts.tolist(), found.sizes.tolist(), strict=True)
    return {
        name.decode("utf-8", "surrogateescape"): archive.read_bytes()[start : start + size]
        for name, start, size in rows
    }


@pytest.mark.parametrize("layout", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_file_is_found_with_its_bytes(tmp_path, layout):
    long_names = {} if layout == tarfile.USTAR_FORMAT else {"long/" * 60 + "name.JPEG": b"long"}
    content = CONTENT | long_names
    assert contents(put(tmp_path, tar_bytes(content, layout=layout)), tmp_path) == content


def test_the_files_of_inner_archives_are_found(tmp_path):
    inner = {
        name: tar_bytes({f"{name}_{i}.JPEG": f"{name}{i}".encode() for i in range(3)})
        for name in ("n01", "n02")
    }
    archive = put(tmp_path, tar_bytes({f"{name}.tar": data for name, data in inner.items()}))
    assert contents(archive, tmp_path) == {
        f"{name}/{name}_{i}.JPEG": f"{name}{i}".encode() for name in inner for i in range(3)
    }


def test_an_image_is_read_by_its_offset(tmp_path):
    archive = put(tmp_path, tar_bytes(CONTENT))
    found = archives.load_index(archive, tmp_path)
    start, size = int(found.starts[0]), int(found.sizes[0])
    assert archives.read_member(archive, start, size) == b"first"
    with pytest.raises(ImageError, match=r"empty file \(0 bytes\)"):
        archives.read_member(archive, int(found.starts[3]), 0)
    with pytest.raises(ImageError, match="too large: a file of 1,074 MB"):
        archives.read_member(archive, start, (1 << 30) + 1)
    with pytest.raises(ImageError, match="ends inside the image"):
        archives.read_member(archive, archive.stat().st_size, 10)
    archive.unlink()
    with pytest.raises(ImageError, match="No such file"):
        archives.read_member(archive, start, size)


def test_the_headers_are_read_once_for_each_version_of_the_archive(tmp_path, capsys):
    archive = put(tmp_path, tar_bytes(CONTENT))
    first = contents(archive, tmp_path / "index")
    assert capsys.readouterr().err.count("reading the headers") == 1
    assert contents(archive, tmp_path / "index") == first
    assert capsys.readouterr().err == ""
    put(tmp_path, tar_bytes(CONTENT | {"new.JPEG": b"new"}))
    assert contents(archive, tmp_path / "index") == CONTENT | {"new.JPEG": b"new"}


def test_a_damaged_index_is_written_again(tmp_path):
    archive = put(tmp_path, tar_bytes(CONTENT))
    archives.load_index(archive, tmp_path)
    index = tmp_path / "photos.tar.index.npz"
    for damaged in (
        b"",
        b"PK\x03\x04",
        index.read_bytes()[:-40],
        index.read_bytes()[:200] + b"x" + index.read_bytes()[201:],
    ):
        index.write_bytes(damaged)
        assert contents(archive, tmp_path) == CONTENT


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_an_error_names_a_member_that_is_not_a_file(tmp_path, kind):
    archive = put(tmp_path, tar_bytes(CONTENT, members=[special_member(kind)]))
    with pytest.raises(DataError, match=r"photos.tar: special is not a regular file"):
        archives.load_index(archive, tmp_path)


def test_a_path_that_leads_out_of_the_archive_writes_nothing(tmp_path):
    archive = put(tmp_path, tar_bytes({"../../outside.JPEG": b"x", "/absolute.JPEG": b"y"}))
    assert contents(archive, tmp_path / "index") == {
        "../../outside.JPEG": b"x",
        "/absolute.JPEG": b"y",
    }
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "index",
        "photos.tar",
        "photos.tar.index.npz",
    ]


def test_a_truncated_archive_is_an_error_wherever_it_ends(tmp_path):
    data = tar_bytes({f"{i}.JPEG": bytes([i]) * 700 for i in range(4)})
    end = 4 * (512 + 1024)
    for length in [0, 1, 511, 513, 1000, *range(end - 3000, end, 300), 512 + 1024, end]:
        archive = put(tmp_path, data[:length], f"{length}.tar")
        with pytest.raises(DataError, match=f"{length}.tar is .*; get it again"):
            archives.load_index(archive, tmp_path)


@pytest.mark.parametrize("place", ["outer", "inner"])
def test_a_damaged_header_in_the_middle_is_an_error(tmp_path, place):
    inner = tar_bytes({f"{i}.JPEG": bytes([i]) * 700 for i in range(1, 4)})
    data = bytearray(tar_bytes({"n01.tar": inner, "n02.tar": inner}))
    second = {"outer": 512 + len(inner), "inner": 512 + 512 + 1024}[place]
    assert data[second : second + 1] in (b"n", b"2")
    data[second + 150] ^= 1
    with pytest.raises(DataError, match=r"is damaged at byte"):
        archives.load_index(put(tmp_path, bytes(data)), tmp_path)


def test_an_inner_archive_longer_than_its_member_is_an_error(tmp_path):
    truncated = tar_bytes({"1.JPEG": b"x" * 600})[:1536]
    with pytest.raises(DataError, match=r"n01.tar is (truncated|damaged)"):
        archives.load_index(
            put(
                tmp_path, tar_bytes({"n01.tar": truncated, "n02.tar": tar_bytes({"2.JPEG": b"y"})})
            ),
            tmp_path,
        )


def test_a_file_that_is_not_an_archive_is_an_error(tmp_path):
    with pytest.raises(DataError, match="is not a tar archive"):
        archives.load_index(put(tmp_path, b"<html>sign in</html>" * 100), tmp_path)
    with pytest.raises(DataError, match=r"cannot read .*No such file"):
        archives.load_index(tmp_path / "nowhere.tar", tmp_path)


def test_random_damage_is_an_error_or_harmless(tmp_path):
    data = tar_bytes({f"{i}.JPEG": bytes([i]) * 100 for i in range(4)})
    random, harmless = numpy.random.default_rng(0), 0
    for _ in range(150):
        damaged = numpy.frombuffer(data, numpy.uint8).copy()
        damaged[random.integers(0, len(data), 6)] = random.integers(0, 256, 6)
        archive = put(tmp_path, damaged.tobytes())
        try:
            found = archives.load_index(archive, tmp_path)
        except DataError:
            continue
        assert (found.starts + found.sizes <= len(data)).all()
        harmless += 1
    assert 0 < harmless < 150


def test_wanted_members_of_a_compressed_archive_are_read(tmp_path):
    archive = put(
        tmp_path,
        tar_bytes({f"./{name}": data for name, data in CONTENT.items()}, "w:gz"),
        "photos.tar.gz",
    )
    assert archives.extract_members(archive, {"a.JPEG": 5, "sub/b.JPEG": 1000}) == {
        "a.JPEG": b"first",
        "sub/b.JPEG": b"x" * 1000,
    }


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"a.JPEG": 4}, r"a.JPEG has 5 bytes, more than the 4 allowed"),
        ({"nowhere": 4, "none": 1, "a.JPEG": 5}, "lacks nowhere, none"),
        ({"special": 4}, "special is not a regular file"),
    ],
)
def test_an_error_names_a_member_that_is_missing_or_too_large_or_not_a_file(
    tmp_path, wanted, message
):
    archive = put(
        tmp_path,
        tar_bytes(CONTENT, "w:gz", members=[special_member(tarfile.SYMTYPE)]),
        "photos.tar.gz",
    )
    with pytest.raises(DataError, match=message):
        archives.extract_members(archive, wanted)


def test_a_damaged_compressed_archive_is_an_error(tmp_path):
    random = numpy.random.default_rng(0).integers(0, 256, 50_000, dtype=numpy.uint8).tobytes()
    data = tar_bytes({"a": random, "b": random}, "w:gz")
    flipped = bytearray(data)
    flipped[-5000] ^= 255
    for damaged in (
        b"",
        b"<html>",
        data[:100],
        data[: len(data) // 2],
        data[:-5000],
        bytes(flipped),
    ):
        with pytest.raises(DataError, match=r"get it again|get the official archive"):
            archives.extract_members(
                put(tmp_path, damaged, "photos.tar.gz"), {"a": 1 << 20, "b": 1 << 20, "c": 1}
            )


def test_an_archive_that_expands_too_much_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_MAX_EXPANDED", 1 << 20)
    archive = put(tmp_path, tar_bytes({"bomb": bytes(1 << 21), "a": b"x"}, "w:gz"), "photos.tar.gz")
    with pytest.raises(DataError, match=r"expands to more than .* GiB"):
        archives.extract_members(archive, {"a": 10})
