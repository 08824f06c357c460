"""The program in docs/model.md reads photos as stores do, and predicts what `eval` predicts."""

import sys

import numpy
import pytest
from experiments import describe_model
from PIL import Image
from test_docs import ROOT, find_blocks

from imgcls.backend import keras
from imgcls.datasets import folder
from imgcls.evaluation import inference
from imgcls.image.decode import Geometry
from imgcls.training import model_file
from imgcls.verbs import prepare

(PROGRAM,) = find_blocks(ROOT / "docs" / "model.md", "python")
SIZE = (13, 16)


def make_photos(root):
    """Write photos of two classes: of every color format, of odd shapes, turned, and large."""
    generator = numpy.random.default_rng(0)

    def pixels(height, width, *channels, dtype=numpy.uint8):
        limit = numpy.iinfo(dtype).max
        coarse = generator.integers(0, limit, (5, 7, *channels), dtype=dtype, endpoint=True)
        return numpy.kron(
            coarse, numpy.ones((height // 5, width // 7, *[1] * len(channels)), dtype)
        )

    (root / "a").mkdir(parents=True)
    (root / "b").mkdir()
    photo, gray, clear = pixels(215, 357, 3), pixels(95, 49), pixels(55, 91, 4)
    for number, (height, width) in enumerate([(5, 7), (10, 203), (300, 7), (35, 35)]):
        Image.fromarray(pixels(height, width, 3)).save(root / "a" / f"odd {number}.png")
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(photo).save(root / "a" / f"turned {orientation}.jpg", exif=exif)
    Image.fromarray(pixels(1005, 707, 3)).save(root / "a" / "large.jpg")
    Image.fromarray(pixels(1005, 707)).save(root / "a" / "large gray.jpg")
    Image.fromarray(photo).convert("CMYK").save(root / "a" / "cmyk.jpg")
    Image.fromarray(photo).save(root / "b" / "photo.webp")
    Image.fromarray(gray).save(root / "b" / "gray.png")
    Image.fromarray(gray > 100).save(root / "b" / "one bit.png")
    Image.fromarray(pixels(95, 49, dtype=numpy.uint16)).save(root / "b" / "16 bit.png")
    Image.fromarray(clear).save(root / "b" / "clear.png")
    Image.fromarray(gray).save(root / "b" / "gray and clear.png", transparency=int(gray[0, 0]))
    Image.fromarray(photo).quantize(50).save(root / "b" / "palette.gif")
    Image.fromarray(photo).quantize(50).save(root / "b" / "palette.png", transparency=3)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos") / "photos"
    make_photos(root)
    return root


def write_model(path, store, geometry):
    """Write a model with random weights for the images of a store."""
    images = keras.Input(geometry.shape, dtype="uint8")
    features = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(images))
    logits = keras.layers.Dense(len(store.classes), dtype="float32")(features)
    serving = model_file.make_serving_model(keras.Model(images, logits), 1.5)
    description = describe_model(store.classes, geometry.shape, geometry.resize)
    own = description.model_copy(update={"fingerprint": store.fingerprint})
    model_file.save_model(serving, own, path)


@pytest.mark.parametrize("resize", ["pad", "crop", "stretch"])
@pytest.mark.parametrize(
    ("storage", "channels"), [("pixels", 1), ("pixels", 3), ("pixels", 4), ("encoded", 3)]
)
def test_the_program_of_the_page_sees_the_pixels_and_the_probabilities_of_eval(
    photos, tmp_path, monkeypatch, capsys, channels, resize, storage
):
    settings = folder.Settings(
        name="folder",
        path=str(photos),
        store_dir=str(tmp_path),
        size=list(SIZE),
        resize=resize,
        channels=channels,
        storage=storage,
    )
    store = prepare.find_or_store(settings)[0]
    geometry = Geometry((*SIZE, channels), resize)
    write_model(tmp_path / "model.keras", store, geometry)
    indices = numpy.arange(store.count)
    reader = store.open_reader(geometry)
    (expected,) = inference.predict(
        tmp_path / "model.keras",
        [reader],
        indices,
        store.count,
        "float32",
        store.classes,
        store.fingerprint,
    )
    ids = store.get_ids(indices)
    assert len(ids) == 23
    monkeypatch.setattr(
        sys, "argv", ["program", str(tmp_path / "model.keras"), str(photos / ids[0])]
    )
    namespace = {}
    exec(PROGRAM, namespace)
    name, probability = capsys.readouterr().out.split()
    assert name == store.classes[expected[0].argmax()]
    assert float(probability) == pytest.approx(expected[0].max(), rel=1e-5)
    pixels = numpy.stack([namespace["read"](photos / name) for name in ids])
    different = [
        name
        for name, one, other in zip(ids, pixels, reader.read(indices), strict=True)
        if not numpy.array_equal(one, other)
    ]
    assert different == []
    probabilities = namespace["model"].predict(pixels, verbose=0)
    numpy.testing.assert_allclose(probabilities, expected, rtol=1e-5, atol=1e-6)
    assert namespace["about"]["classes"] == store.classes == ["a", "b"]
