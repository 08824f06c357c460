"""imgcls predict. Light zone."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from imgcls.cli import options

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH...",
        help="Image files, folders, patterns in quotes, or - for a list of paths on stdin.",
        show_default=False,
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="table, csv, jsonl, json or parquet; by default that of the ending of --output, or a"
        " table.",
        show_default=False,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="FILE",
        help="Write the rows to a file instead of stdout.",
        show_default=False,
    ),
]
TopK = Annotated[
    int, typer.Option(metavar="K", help="Name the K most probable classes of each image.")
]
Probabilities = Annotated[
    bool, typer.Option("--probabilities", help="Write the probability of every class.")
]
Threshold = Annotated[
    float | None,
    typer.Option(
        metavar="P",
        help="Mark predictions of a lower probability as not accepted, for a person to look at.",
        show_default=False,
    ),
]
Coverage = Annotated[
    float | None,
    typer.Option(
        metavar="C",
        help="Add the set of classes that has the true one with this probability (conformal"
        " prediction, calibrated on the validation split).",
        show_default=False,
    ),
]
Score = Annotated[
    str, typer.Option(metavar="NAME", help="The kind of prediction sets: lac, aps or raps.")
]
Features = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write the features that enter the last dense layer to an .npz or .parquet file.",
        show_default=False,
    ),
]
Tta = Annotated[
    str | None,
    typer.Option(
        metavar="METHOD",
        help="Average over views of each image: flip, shift or flip_shift.",
        show_default=False,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Images per step; by default that of training, with which the results are those of"
        " eval bit for bit. For a few images on a CPU, a small one is faster.",
        show_default=False,
    ),
]
Null = Annotated[
    bool, typer.Option("--null", help="Paths on stdin end in NUL, as find -print0 writes them.")
]


def predict(
    target: options.Target,
    paths: Paths,
    format_: Format = None,
    output_file: Output = None,
    top_k: TopK = 1,
    probabilities: Probabilities = False,
    threshold: Threshold = None,
    coverage: Coverage = None,
    score: Score = "lac",
    features: Features = None,
    tta: Tta = None,
    batch_size: BatchSize = None,
    null: Null = False,
    set_: options.Set = [],
    json: options.Json = False,
) -> None:
    """Predict the classes of image files with a run's model. Exit code 3 if some could not be read;
    all others are predicted.

    Example: imgcls predict runs/digits/1 photos --top-k 3 --output predictions.csv
    """
    from imgcls.prediction.inputs import Inputs
    from imgcls.prediction.options import PredictOptions, parse_features, parse_format, parse_tta
    from imgcls.run_lookup import find_run_to_predict
    from imgcls.verbs import predict

    wanted = PredictOptions(
        format=parse_format(format_, json, output_file),
        output=output_file,
        top_k=top_k,
        all_probabilities=probabilities,
        threshold=threshold,
        coverage=coverage,
        score=score,
        features=parse_features(features),
        tta=parse_tta(tta),
        batch_size=batch_size,
    )
    run, experiment = find_run_to_predict(target, set_)
    inputs = Inputs(paths, sys.stdin.buffer, null)
    predict.predict(run, experiment, inputs, wanted, sys.stdout.buffer)
