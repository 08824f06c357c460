"""Bytes that cross the bus in a step, from TensorFlow's profiler, against those of a batch.

The profiler records copies with CUPTI, a library of `make setup GPU=1`. In its trace, a copy is an
event MemcpyH2D or MemcpyD2H of a plane `/device:GPU:0`, whose stat `memcpy_details` is
`kind_src:pageable kind_dst:device size:4096 dest:0 async:1` (OpenXLA, cupti_collector.cc).
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.gpu._row import Row, Target, decide
from bench.gpu._training import start_training, write_noise_experiment

IMAGE = 28 * 28
"""uint8."""
LABEL_AND_WEIGHT = 12
"""int64 and float32."""
TO_DEVICE, TO_HOST = "MemcpyH2D", "MemcpyD2H"
STREAMING = ("augment=[{name: random_flip}]", "train.device_cache_mib=0")
SMALL_SHARE = 0.05
"""Of a batch: positions, learning rates and seeds; back come sums, and a checkpoint an epoch."""


def measure(target: Target, folder: Path) -> Iterator[Row]:
    """Trace an epoch whose batches are sent, and one whose split is on the device."""
    batch = 128 * (IMAGE + LABEL_AND_WEIGHT)
    for name, overrides, least, most in (
        ("augmented", STREAMING, 0.9, 1.1),
        ("in memory", (), 0.0, SMALL_SHARE),
    ):
        path = write_noise_experiment(folder, name.replace(" ", "-"), target.images, *overrides)
        copied, steps = trace_epoch(path)
        for kind, low, high in ((TO_DEVICE, least, most), (TO_HOST, 0.0, SMALL_SHARE)):
            share = copied[kind] / steps / batch
            direction = "to the device" if kind == TO_DEVICE else "to the host"
            yield Row(
                f"bytes {direction} in a step, {name}",
                f"{copied[kind] / steps:,.0f}",
                f"{low * batch:,.0f} to {high * batch:,.0f} (a batch has {batch:,})",
                decide(low <= share <= high),
            )


def trace_epoch(path: Path) -> tuple[Counter[str], int]:
    """Return the bytes copied in the second epoch, by kind, and its number of steps.

    Raises:
        RuntimeError: the trace holds no copies.
    """
    from imgcls.backend import tf

    traces = path.with_suffix(".trace")
    with start_training(path) as (epochs, _):
        first = next(epochs)
        tf.profiler.experimental.start(str(traces))
        second = next(epochs)
        tf.profiler.experimental.stop()
    copied = read_copies(traces)
    if not copied:
        raise RuntimeError("the trace has no copies between host and device: is CUPTI installed?")
    return copied, second.step - first.step


def read_copies(folder: Path) -> Counter[str]:
    """Return the bytes of all copies in a folder of traces, by the kind of copy."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    copied: Counter[str] = Counter()
    for path in folder.rglob("*.xplane.pb"):
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
        for plane in space.planes:
            if plane.name.startswith("/device:GPU"):
                copied += count_copies(plane)
    return copied


def count_copies(plane: Any) -> Counter[str]:
    """Return the bytes of the copies in a plane, by the kind of copy."""
    copied: Counter[str] = Counter()
    for line in plane.lines:
        for event in line.events:
            kind = plane.event_metadata[event.metadata_id].name
            for stat in event.stats:
                if plane.stat_metadata[stat.metadata_id].name == "memcpy_details":
                    details = stat.str_value or plane.stat_metadata[stat.ref_value].name
                    copied[kind] += int(re.search(r"\bsize:(\d+)", details)[1])
    return copied
