"""Latency of LiteRT files beside a compiled function of TensorFlow in the same process, with the
same threads.

Run only this benchmark with `python -m bench.litert`; it needs the extra `litert`.
"""

import importlib.util
import sys
import tempfile
from pathlib import Path

from bench.ratios import Ratio, print_ratios

NETWORKS = {
    "cnn": ("{name: cnn}", (28, 28, 1)),
    "resnet 20": ("{name: resnet, depth: 20}", (32, 32, 3)),
    "mobilenet": ("{name: mobilenet}", (96, 96, 3)),
}
"""The networks, each with the shape of its images."""
EXPERIMENT = "{{name: bench, data: {{name: digits}}, model: {model}}}"


def measure_ratios() -> list[Ratio]:
    """Compare float32 and int8 in batches of 1 with TensorFlow; int8 also with float32."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        print("no LiteRT: run pip install 'imgcls[litert]'", file=sys.stderr)
        return []
    return [row for name in NETWORKS for row in _measure(name)]


def _measure(name: str) -> list[Ratio]:
    import numpy
    import yaml

    from imgcls import parts
    from imgcls.backend import keras
    from imgcls.compression import latency
    from imgcls.compression.litert_file import Type, convert_model
    from imgcls.config import Experiment
    from imgcls.evaluation.compiled_model import count_threads
    from imgcls.models import Problem
    from imgcls.training import model_file

    text, shape = NETWORKS[name]
    settings = Experiment.model_validate(yaml.safe_load(EXPERIMENT.format(model=text))).model
    images = keras.Input(shape, dtype="uint8", name="images")
    problem = Problem(10, [128.0] * shape[2], [64.0] * shape[2], dropout_seed=1)
    logits = parts.load_for("models", settings).build(settings, images, problem)
    plain = model_file.make_plain_model(keras.Model(images, logits))
    model = model_file.make_serving_model(plain, 1.0)
    calibration = numpy.random.default_rng(0).integers(0, 256, (256, *shape), numpy.uint8)
    kinds: tuple[Type, ...] = ("float32", "int8")
    with tempfile.TemporaryDirectory() as folder:
        runtimes = []
        for kind in kinds:
            path = Path(folder) / f"{kind}.tflite"
            own = calibration if kind == "int8" else None
            path.write_bytes(convert_model(model, kind, own, Path(folder)))
            runtimes.append(parts.load("exporters", "litert").load(path, count_threads()))
        graph, *found = latency.measure([latency.compile_model(model), *runtimes], shape)
    times = dict(zip(kinds, found, strict=True))
    print(f"{name}: tf.function {graph}, LiteRT {times} ms (1, 64)", file=sys.stderr)
    one, many = (times["int8"][i] / times["float32"][i] for i in (0, 1))
    return [
        (
            f"{name}: LiteRT float32 / tf.function, batch 1",
            times["float32"][0] / graph[0],
            "<= 0.50",
        ),
        (f"{name}: LiteRT int8 / LiteRT float32, batch 1", one, "<= 0.50"),
        (f"{name}: LiteRT int8 / LiteRT float32, batch 64", many, "<= 0.50"),
    ]


if __name__ == "__main__":
    print_ratios(measure_ratios())
