"""Tables of compressed runs that nothing was measured for."""

from imgcls.compression import latency, peak_memory
from imgcls.compression.record import Compression
from imgcls.compression.table_record import CompressionTable
from imgcls.io import files
from imgcls.io.records import write_record
from imgcls.run import Run


def make_table(**changes) -> CompressionTable:
    """Return the table of a compressed model, which is faster, smaller and worse, with changes to
    its costs, and to its `split`.
    """
    split = {
        "split": "validation",
        "images_from": "store",
        "images": 1000,
        "original": 0.95,
        "original_interval": (0.9, 1.0),
        "accuracy": 0.9,
        "interval": (0.8, 0.95),
        "difference": -0.05,
        "difference_interval": (-0.08, -0.02),
        "agreement": 0.93,
        "worst_class": "a",
        "worst_class_recall": 0.8,
        "original_worst_class_recall": 1.0,
        "halved": [],
    }
    cost = {
        "bytes": 3 * 2**20,
        "parameters": 9,
        "multiply_adds": 9,
        "milliseconds_1": 1.0,
        "milliseconds_64": 8.0,
        "peak_memory_mib": 90.0,
    }
    compressed = {"bytes": 2**20, "milliseconds_1": 0.25, "peak_memory_mib": 45.0}
    fields = {
        "run": "b",
        "original": "a",
        "model_sha256": "0",
        "confidence": 0.95,
        "compared": [split | changes.pop("split", {})],
        "before": cost,
        "after": cost | compressed | changes,
        "runtime": "litert",
        "rounds": 15,
        "threads": 2,
        "processor": "CPU",
        "cpu_features": ["avx2"],
    }
    return CompressionTable.model_validate(fields)


def write_table(run: Run, **changes) -> None:
    """Make a run one that was compressed by folding, and compared with its original."""
    step = {"settings": {"name": "fold"}, "details": {}}
    fields = {"original": "a", "original_sha256": "0", "earlier": [], "steps": [step]}
    write_record(run.compression_file, Compression.model_validate({**fields, "network": None}))
    sha256 = files.compute_sha256(run.model_file)
    write_record(
        run.compression_table_file,
        make_table(**changes).model_copy(update={"model_sha256": sha256}),
    )


def measure_quickly(patched) -> None:
    """Let compressions measure the latency in few rounds, and start no processes to measure memory,
    each of which imports TensorFlow; tests/test_peak_memory.py does.

    Args:
        patched: of `pytest.MonkeyPatch`.
    """
    patched.setattr(latency, "ROUNDS", 2)
    patched.setattr(peak_memory, "measure", lambda models, *_: [1.0] * len(models))
