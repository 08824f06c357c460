"""The program that is written beside an export: it predicts photos without imgcls. Light zone."""

from imgcls import parts

PREPROCESSING = """\
def scale(w, h):  # the size of a photo after resizing, before it is cropped or padded
    x, y = width / w, height / h
    if about["resize"] != "stretch":
        x = y = max(x, y) if about["resize"] == "crop" else min(x, y)
    return max(1, round(w * x)), max(1, round(h * y))


def read(path):
    with Image.open(path) as file:
        turned = file.getexif().get(0x0112) in (5, 6, 7, 8)  # EXIF: by 90 degrees
        w, h = scale(*file.size[::-1]) if turned else scale(*file.size)
        file.draft(None, (2 * h, 2 * w) if turned else (2 * w, 2 * h))  # a large JPEG
        image = ImageOps.exif_transpose(file)
    if image.mode.startswith("I;16"):  # 16-bit grayscale
        gray = (numpy.asarray(image).astype("uint32") + 128) // 257
        image = Image.fromarray(gray.astype("uint8"))
    if channels < 4 and image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image if channels == 4 else image.convert("RGB")
    image = image.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])
    if about["resize"] == "crop":
        canvas = ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)
    else:
        canvas = Image.new(image.mode, (width, height))
        inner = image.resize(scale(*image.size), Image.Resampling.BICUBIC)
        left, top = (width - inner.width) / 2, (height - inner.height) / 2
        canvas.paste(inner, (round(left), round(top)))
    return numpy.array(canvas).reshape(about["shape"])
"""
"""How photos become the images that a model was trained on, as imgcls/image/decode.py does it;
docs/model.md has the same lines. They use `about`, which has the keys of metadata.json."""

_START = '''\
"""Predicts photos with {file_name}, without imgcls: python example.py PHOTO..."""
import json, pathlib, sys
import numpy
from PIL import Image, ImageOps
{imports}

folder = pathlib.Path(__file__).parent
about = json.loads((folder / "metadata.json").read_text())
height, width, channels = about["shape"]


'''
_END = """

images = numpy.stack([read(path) for path in sys.argv[1:]])
{run}
for path, row in zip(sys.argv[1:], probabilities):
    print(path, about["classes"][row.argmax()], row.max(), sep="\\t")
"""


def make_example(name: str) -> str:
    """Return the program for a format."""
    part = parts.load("exporters", name)
    imports, _, run = part.EXAMPLE.strip().partition("\n\n")
    start = _START.format(file_name=part.Settings.file_name, imports=imports)
    return f"{start}{PREPROCESSING}{_END.format(run=run)}"
