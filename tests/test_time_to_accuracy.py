"""The benchmark of the time to an accuracy, on a few images of plain shapes."""

import sys

import numpy
import pytest
from test_docs import ROOT
from test_idx import idx_bytes

from imgcls.datasets._idx import FILES


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.chdir(ROOT)
    from bench import time_to_accuracy

    return time_to_accuracy


def make_round(benchmark, cpu_seconds=(2.0, 8.0), val_accuracy=0.92, reached=True):
    ours = {"selected": {"val_accuracy": val_accuracy}}
    tutorial = {"reached": reached, "epochs": 40, "val_accuracy": 0.9}
    outputs = zip(cpu_seconds, (ours, tutorial), strict=True)
    return benchmark.Round(*(benchmark.Measured(cpu, 1.0, output) for cpu, output in outputs))


def write_shapes(folder):
    """Write 600 training and 100 test images: the class is the row of a bright bar."""
    folder.mkdir()
    generator = numpy.random.default_rng(0)
    for (images_file, labels_file), count in zip(FILES.values(), (600, 100), strict=True):
        labels = numpy.arange(count, dtype=numpy.uint8) % 10
        images = generator.integers(0, 60, (count, 28, 28), numpy.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 * label + 3 : 2 * label + 6] = 200
        (folder / images_file).write_bytes(idx_bytes(images))
        (folder / labels_file).write_bytes(idx_bytes(labels))
    return folder


def test_the_ratio_is_of_cpu_seconds(benchmark):
    assert make_round(benchmark).ratio == 0.25
    assert benchmark.find_problems([make_round(benchmark)], 0.91) == []


def test_it_is_said_that_the_tutorial_did_not_reach_the_accuracy(benchmark):
    rounds = [make_round(benchmark), make_round(benchmark, reached=False)]
    (problem,) = benchmark.find_problems(rounds, 0.91)
    assert "in 1 of 2 rounds, the tutorial's network did not reach 0.91 within 40" in problem


def test_it_is_said_that_ours_did_not_reach_the_accuracy(benchmark):
    (problem,) = benchmark.find_problems([make_round(benchmark, val_accuracy=0.909)], 0.91)
    assert "fashion_fast did not reach 0.91 (worst 0.9090)" in problem


@pytest.mark.full
def test_a_process_counts_with_its_children(benchmark):
    child = "import time\nwhile time.process_time() < 1: pass"
    start = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])\n"
    measured = benchmark.measure([sys.executable, "-c", f"{start}print('{{}}')"])
    assert 1 < measured.cpu_seconds < 3


@pytest.mark.full
@pytest.mark.parametrize(("accuracy", "reached"), [(0.6, True), (1.01, False)])
def test_both_are_trained_on_one_split_in_turns(benchmark, tmp_path, capsys, accuracy, reached):
    overrides = ["train.epochs=8", "train.batch_size=64", "train.precision=float32"]
    ((name, ratio, _),) = benchmark.measure_ratios(
        write_shapes(tmp_path / "shapes"), accuracy, 1, overrides
    )
    error = capsys.readouterr().err
    assert f"up to validation accuracy {accuracy:g}, CPU seconds" in name
    assert 0.1 < ratio < 10
    assert "val_accuracy 0." in error or "val_accuracy 1." in error
    assert ("the tutorial's network did not reach" in error) != reached
