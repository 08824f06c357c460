"""The networks of `bench.networks` in PyTorch, trained in a plain loop, with validation.

Prints the number of parameters, then trains an epoch for each line on stdin and prints its seconds.
Images lie in memory as uint8; each step gathers, normalizes, and trains on 128 of them.
"""

import sys
import time
from pathlib import Path

import numpy
import torch
from torch import nn
from torch.nn import functional

BATCH = 128
MEAN, STD = 73.0, 90.0


def build_cnn() -> nn.Module:
    """Return the model of configs/fashion_cnn.yaml."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 32), (32, 64)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()]
    layers += [nn.Flatten(), nn.Linear(7 * 7 * 64, 128), nn.ReLU(), nn.Linear(128, 128)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))


def build_speed() -> nn.Module:
    """Return the model `speed` with its default settings."""
    filters = (1, 16, 32, 64, 128)
    layers: list[nn.Module] = []
    for index in range(4):
        kernel_size, stride = (3, 1) if index else (4, 2)
        shape = filters[index], filters[index + 1], kernel_size
        layers += [nn.Conv2d(*shape, stride, padding=1, bias=False)]
        layers += [nn.MaxPool2d(2)] if index in (1, 2) else []
        layers += [nn.BatchNorm2d(filters[index + 1], momentum=0.2), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(128, 10))


class Block(nn.Module):
    """A block of ResNet with two convolutions; its shortcut is a projection where sizes differ."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.convolution_1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.batch_norm_1 = nn.BatchNorm2d(outputs)
        self.convolution_2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.batch_norm_2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs:
            projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Compute the block."""
        hidden = functional.relu(self.batch_norm_1(self.convolution_1(features)))
        hidden = self.batch_norm_2(self.convolution_2(hidden))
        return functional.relu(hidden + self.shortcut(features))


def build_resnet() -> nn.Module:
    """Return ResNet-20."""
    layers: list[nn.Module] = [
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
    ]
    inputs = 16
    for outputs in (16, 32, 64):
        for _ in range(3):
            layers.append(Block(inputs, outputs, 1 if inputs == outputs else 2))
            inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


BUILDERS = {"cnn": build_cnn, "speed": build_speed, "resnet": build_resnet}


def normalize(images: torch.Tensor) -> torch.Tensor:
    """Return float32 (batch, 1, height, width) of uint8 (batch, height, width, 1)."""
    return ((images.float() - MEAN) / STD).permute(0, 3, 1, 2)


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: torch.Tensor,
    labels: torch.Tensor,
) -> None:
    """Train on all images, in random order."""
    model.train()
    for rows in torch.randperm(len(images)).split(BATCH):
        optimizer.zero_grad(set_to_none=True)
        logits = model(normalize(images[rows]))
        functional.cross_entropy(logits, labels[rows]).backward()
        optimizer.step()


@torch.no_grad()
def validate(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """Return the loss and the accuracy."""
    model.eval()
    loss = right = 0.0
    for batch, targets in zip(images.split(BATCH), labels.split(BATCH), strict=True):
        logits = model(normalize(batch))
        loss += functional.cross_entropy(logits, targets, reduction="sum").item()
        right += (logits.argmax(1) == targets).sum().item()
    return loss / len(images), right / len(images)


def main() -> None:
    """Train an epoch for each line on stdin; the arguments are a folder with arrays.npz, and the
    network.
    """
    folder, name = Path(sys.argv[1]), sys.argv[2]
    with numpy.load(folder / "arrays.npz") as arrays:
        images, validation_images = map(
            torch.from_numpy, (arrays["images"], arrays["validation_images"])
        )
        labels, validation_labels = (
            torch.from_numpy(arrays[key]).long() for key in ("labels", "validation_labels")
        )
    model = BUILDERS[name]()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    train_epoch(model, optimizer, images[:1280], labels[:1280])
    print(sum(parameter.numel() for parameter in model.parameters()), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        train_epoch(model, optimizer, images, labels)
        validate(model, validation_images, validation_labels)
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
