"""What a file is that is not a readable image, by its first bytes. Light zone."""

_CONVERT = "which imgcls does not read; convert it to JPEG or PNG"
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_BEGINNINGS = {
    b"version https://git-lfs": "a Git LFS pointer instead of the image; run `git lfs pull`",
    b"\xff\x0a": f"a JPEG XL image, {_CONVERT}",
    b"\x00\x00\x00\x0cJXL ": f"a JPEG XL image, {_CONVERT}",
    b"\x00\x00\x00\x0cjP  ": f"a JPEG 2000 image, {_CONVERT}",
    b"8BPS": f"a Photoshop document, {_CONVERT}",
    b"%PDF": f"a PDF document, {_CONVERT}",
    b"\x93NUMPY": "a NumPy array; data sets of arrays are read by `data: {name: arrays}`",
    b"PK\x03\x04": "a ZIP archive; extract it",
    b"\x1f\x8b": "a gzip archive; extract it",
    b"Rar!": "a RAR archive; extract it",
    b"7z\xbc\xaf": "a 7z archive; extract it",
}


def describe(data: bytes) -> str:
    """Return the problem of the bytes of a file that no decoder recognizes."""
    for beginning, kind in _BEGINNINGS.items():
        if data.startswith(beginning):
            return kind
    if data[4:8] == b"ftyp":
        if data[8:12] in _HEIC_BRANDS:
            return f"a HEIC image, {_CONVERT}"
        return "not an image but a video, or an image of another kind in a video's container"
    if data[128:132] == b"DICM":
        return f"a DICOM image, {_CONVERT}"
    text = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<svg", b"<?xml")) and b"<svg" in text:
        return f"an SVG drawing, {_CONVERT}"
    if text.startswith((b"<!doctype html", b"<html", b"<head")):
        return "an HTML page instead of the image, as a failed download leaves; download it again"
    return "damaged, or not a PNG, JPEG, WebP, BMP, GIF, TIFF or AVIF image"
