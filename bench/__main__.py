"""`make bench`: runs all benchmarks, and prints ratios and targets. Missed targets do not fail."""

import sys
from pathlib import Path


def main() -> None:
    """Run all benchmarks.

    The first argument may be a folder with the files of Fashion-MNIST; by default, noise of the
    same format is used, without the time to an accuracy, since noise cannot be learned.
    """
    # Imported here, because grain's worker processes import this module, without TensorFlow.
    from bench import (
        augmentations,
        batch_norm,
        epoch,
        grain_loader,
        litert,
        loader,
        networks,
        predict,
        ratios,
        small_images,
        start,
        time_to_accuracy,
        tune,
        workers,
    )

    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    rows = [
        *start.measure_ratios(),
        *epoch.measure_ratios(folder),
        *networks.measure_ratios(folder),
        *batch_norm.measure_ratios(),
        *workers.measure_ratios(),
        *loader.measure_ratios(),
        *small_images.measure_ratios(),
        *predict.measure_ratios(),
        *litert.measure_ratios(),
        *grain_loader.measure_ratios(),
        *augmentations.measure_ratios(),
        *tune.measure_ratios(),
        *(time_to_accuracy.measure_ratios(folder) if folder else []),
    ]
    print(f"{'ratio':<92}  {'measured':>8}  target")
    ratios.print_ratios(rows)


if __name__ == "__main__":
    main()
