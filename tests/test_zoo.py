"""A zoo of image files: good ones are stored right, bad ones are listed, and none breaks a run."""

import io
import os
import shutil
import struct
import zlib

import numpy
import pytest
from experiments import TINY, command, json_of, write_experiment
from PIL import Image

from imgcls.datasets import SPLITS, folder
from imgcls.evaluation import predictions
from imgcls.image.decode import Geometry
from imgcls.run import Run
from imgcls.verbs import prepare

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
GEOMETRY = Geometry((8, 8, 3), "stretch")
STRANGE = (
    "with space.png",
    "two\nlines.png",
    os.fsdecode(b"\xff\xfe.png"),
    "'quotes\".png",
    "🦁.png",
    "tab\t[red].png",
    "-r.png",
)
"""File names that could break a terminal, a shell, JSON or rich."""


def encode(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def noise(kind, **options):
    return encode(
        Image.fromarray(numpy.random.default_rng(1).integers(0, 256, (48, 40, 3), numpy.uint8)),
        kind,
        **options,
    )


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width, height):
    """Return a PNG of a few kilobytes that claims this size and expands to 16 million pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1 << 24), 9))
        + chunk(b"IEND", b"")
    )


def good_files():
    """Return files of one color by name, each with the color that must be read."""
    gray, orange = Image.new("L", (9, 7), 200), Image.new("RGB", (9, 7), (250, 120, 10))
    transparent = Image.new("RGBA", (9, 7), (0, 0, 0, 51))
    sixteen = Image.fromarray(numpy.full((7, 9), 51_400, numpy.uint16))
    cmyk = Image.new("CMYK", (9, 7), (0, 255, 255, 0))
    files = {
        **{
            f"kind.{kind.lower()}": (
                encode(orange, kind, **({"lossless": True} if kind == "WEBP" else {})),
                (250, 120, 10),
            )
            for kind in FORMATS
        },
        "progressive.jpg": (encode(orange, "JPEG", progressive=True), (250, 120, 10)),
        "a png.jpg": (encode(orange, "PNG"), (250, 120, 10)),
        "a jpeg.png": (encode(orange, "JPEG"), (250, 120, 10)),
        "cmyk.jpg": (
            encode(cmyk, "JPEG"),
            numpy.asarray(Image.open(io.BytesIO(encode(cmyk, "JPEG"))).convert("RGB"))[0, 0],
        ),
        "grayscale.jpg": (encode(gray, "JPEG"), (200,) * 3),
        "sixteen bits.png": (encode(sixteen, "PNG"), (200,) * 3),
        "one bit.png": (encode(Image.new("1", (9, 7), 1), "PNG"), (255,) * 3),
        "four channels.png": (encode(transparent, "PNG"), (204,) * 3),
        "gray and alpha.png": (encode(transparent.convert("LA"), "PNG"), (204,) * 3),
        "palette.png": (encode(orange.quantize(4), "PNG"), (250, 120, 10)),
        "wide.png": (encode(Image.new("RGB", (30_000, 1), (250, 120, 10)), "PNG"), (250, 120, 10)),
        "high.jpg": (
            encode(Image.new("RGB", (1, 30_000), (250, 120, 10)), "JPEG"),
            (250, 120, 10),
        ),
        "one pixel.gif": (encode(Image.new("L", (1, 1), 200), "GIF"), (200,) * 3),
    }
    return files | {
        name: (encode(Image.new("L", (9, 7), 30 * index), "PNG"), (30 * index,) * 3)
        for index, name in enumerate(STRANGE)
    }


def bad_files():
    """Return files by name, each with what the error must say."""
    truncated = {
        f"{kind} {tenth}.{kind.lower()}": (data[: len(data) * tenth // 11], "")
        for kind, data in {kind: noise(kind) for kind in FORMATS}.items()
        for tenth in range(1, 11)
    }
    progressive = noise("JPEG", progressive=True)
    floats = Image.fromarray(numpy.full((4, 4), numpy.nan, numpy.float32))
    return truncated | {
        "half progressive.jpg": (progressive[: len(progressive) // 2], "truncated"),
        "empty.png": (b"", "empty file (0 bytes)"),
        "text.jpg": (b"<html>404</html>", "an HTML page instead of the image"),
        "bomb.png": (bomb(60_000, 60_000), "too large: 60000x60000 is 3600.0 megapixels"),
        "wide bomb.png": (bomb(2**31 - 1, 1), "too large"),
        "nan.png": (encode(floats, "TIFF"), "the range of pixel format F is unknown"),
        "no pixels.png": (bomb(0, 0), ""),
        "more lines than data.png": (bomb(5_000, 5_000), "truncated"),
        f"bad {STRANGE[1]}": (b"x", "damaged"),
        f"bad {STRANGE[2]}": (b"x", "damaged"),
    }


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """A folder of all files in two classes, with dangling and circular links and a pipe."""
    root = tmp_path_factory.mktemp("zoo") / "images"
    for index, (name, (data, _)) in enumerate([*good_files().items(), *bad_files().items()]):
        path = root / ("ape", "bear")[index % 2] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (root / "ape/loop.png").symlink_to("loop.png")
    (root / "ape/nowhere.png").symlink_to("gone.png")
    (root / "bear/circle").symlink_to(root)
    os.mkfifo(root / "bear/pipe.png")
    return root


LINKS = {
    "loop.png": "Too many levels of symbolic links",
    "nowhere.png": "No such file or directory",
    "circle": "a symbolic link to a folder above it",
    "pipe.png": "not a regular file",
}


def prepare_store(root, store_dir, **changes):
    settings = {
        "size": [8, 8],
        "resize": "stretch",
        "channels": 3,
        "on_bad_image": "skip",
    } | changes
    return prepare.find_or_store(
        folder.Settings(name="folder", path=str(root), store_dir=str(store_dir), **settings)
    )[0]


def whole_crops(reader, indices):
    """Return crops that are the whole images, and that none is to be flipped."""
    sizes = reader.get_sizes(indices)
    return numpy.concatenate([numpy.zeros_like(sizes), sizes], axis=1), numpy.zeros(
        len(indices), bool
    )


@pytest.mark.parametrize("storage", ["pixels", "encoded"])
def test_bad_images_are_listed_with_reasons_and_good_ones_are_stored_right(zoo, tmp_path, storage):
    store = prepare_store(zoo, tmp_path, storage=storage)
    bad = {image.id.partition("/")[2]: image.problem for image in store.manifest.bad_images}
    expected = {name: problem for name, (_, problem) in bad_files().items()} | LINKS
    assert sorted(bad) == sorted(expected)
    assert [
        name for name, problem in expected.items() if problem not in bad[name] or not bad[name]
    ] == []
    indices = numpy.arange(store.count)
    colors = {name: color for name, (_, color) in good_files().items()}
    names = [name.partition("/")[2] for name in store.get_ids(indices)]
    assert sorted(names) == sorted(colors)
    reader = store.open_reader(GEOMETRY)
    for images in (reader.read(indices), reader.crop(indices, *whole_crops(reader, indices))):
        difference = numpy.abs(
            images.astype(int) - numpy.array([colors[name] for name in names])[:, None, None]
        ).max(axis=(1, 2, 3))
        assert {
            name: difference[index] for index, name in enumerate(names) if difference[index] > 2
        } == {}


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_images_that_are_stored_can_be_read_in_training(tmp_path, kind):
    random = numpy.random.default_rng(3)
    data = noise(kind)
    for number in range(80):
        damaged = numpy.frombuffer(data, numpy.uint8).copy()
        damaged[random.integers(0, len(data) if number % 2 else 64, 4)] = random.integers(0, 256, 4)
        path = tmp_path / "images" / "ab"[number % 4 // 2] / f"{number}.{kind.lower()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(damaged.tobytes())
        path.with_name(f"whole {path.name}").write_bytes(data)
    store = prepare_store(
        tmp_path / "images", tmp_path / "stores", storage="encoded", max_megapixels=1.0
    )
    indices, reader = numpy.arange(store.count), store.open_reader(GEOMETRY)
    assert 80 <= store.count == 160 - len(store.manifest.bad_images)
    assert (
        reader.read(indices).shape
        == reader.crop(indices, *whole_crops(reader, indices)).shape
        == (store.count, *GEOMETRY.shape)
    )


def test_strange_names_reach_the_predictions_and_files_may_vanish_after_prepare(
    zoo, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(
        zoo, "images", symlinks=True, ignore=lambda _, names: {"pipe.png", "circle"} & set(names)
    )
    data = {
        "name": "folder",
        "path": "images",
        "size": [8, 8],
        "channels": 3,
        "on_bad_image": "skip",
        "storage": "encoded",
        "test": 0.5,
    }
    experiment = write_experiment(
        tmp_path, TINY | {"data": data, "train": {"epochs": 1, "batch_size": 8}, "figures": []}
    )
    report = json_of("prepare", experiment)
    assert {f"bad {STRANGE[1]}", f"bad {STRANGE[2]}"} < {
        image["id"].partition("/")[2] for image in report["bad_images"]
    }
    shutil.rmtree("images")
    exit_code, _, stderr = command("train", experiment, "--run", "run")
    assert exit_code == 0, stderr
    for split in SPLITS:
        exit_code, _, stderr = command("eval", "run", "--split", split)
        assert exit_code == 0, stderr
    run = Run(tmp_path / "run")
    ids = {name for split in SPLITS for name in predictions.load(run, split).ids}
    assert {name.partition("/")[2] for name in ids} == set(good_files())


def test_strange_names_are_escaped_in_messages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("ape/1.png", "bear/1.png"):
        (tmp_path / "images" / name).parent.mkdir(parents=True)
        (tmp_path / "images" / name).write_bytes(noise("PNG"))
    for name in (STRANGE[1], STRANGE[2], "\x1b[31mred.png", "🦁.png"):
        (tmp_path / "images/ape" / name).write_bytes(b"x")
    exit_code, _, stderr = command(
        "prepare", write_experiment(tmp_path, TINY | {"data": {"name": "folder", "path": "images"}})
    )
    assert exit_code == 3
    for name in ("two\\nlines.png", "\\udcff\\udcfe.png", "\\x1b[31mred.png", "🦁.png"):
        assert f"  ape/{name}: damaged, or not a PNG" in stderr
