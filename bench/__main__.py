"""`make bench`: run every benchmark and print its ratios beside their targets. It never fails on
time.
"""

import sys
from pathlib import Path


def main() -> None:
    """Run the benchmarks; the first argument may be a folder with Fashion-MNIST's files, instead of
    noise in the same layout.
    """
    # Here, since grain's processes import this module, and need no TensorFlow.
    from bench import augmentations, epoch, grain_loader, loader, start, workers

    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    rows = [
        *start.ratios(),
        *epoch.ratios(folder),
        *workers.ratios(),
        *loader.ratios(),
        *grain_loader.ratios(),
        *augmentations.ratios(),
    ]
    print(f"{'ratio':<92}  {'measured':>8}  target")
    for name, measured, target in rows:
        print(f"{name:<92}  {measured:>8.2f}  {target}")


if __name__ == "__main__":
    main()
