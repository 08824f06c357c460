"""The figure of a compressed run shows the numbers of its table, and says what they mean."""

from pathlib import Path

import pytest
from compression_tables import write_table
from figure_drawing import draw
from synthetic_run import make_run

from imgcls.figures import DoesNotApplyError, NotDrawableError
from imgcls.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "run")


def read_title(run: Run) -> str:
    return draw(run, "compression").get_suptitle()


def test_both_models_are_where_the_table_says(run: Run):
    write_table(run)
    figure = draw(run, "compression")
    for axes, values in zip(figure.axes, ([1.0, 0.25], [8.0, 8.0], [3.0, 1.0]), strict=True):
        dots = [container.lines[0] for container in axes.containers]
        assert [dot.get_xdata()[0] for dot in dots] == values
        assert [dot.get_ydata()[0] for dot in dots] == [0.95, 0.9]
        lines = [container.lines[2][0].get_segments()[0] for container in axes.containers]
        assert [line[:, 1].tolist() for line in lines] == [
            pytest.approx([0.9, 1.0]),
            pytest.approx([0.8, 0.95]),
        ]
        assert axes.get_xlim()[0] == 0
    assert figure.axes[2].get_xlabel() == "size of the file, MiB"


def test_the_models_differ_in_color_and_marker(run: Run):
    write_table(run)
    first, second = (each.lines[0] for each in draw(run, "compression").axes[0].containers)
    assert first.get_color() != second.get_color()
    assert first.get_marker() != second.get_marker()


def test_the_title_states_what_was_gained_and_lost(run: Run):
    write_table(run)
    assert read_title(run) == (
        "fold: 0.33 of the size, 0.25 of the latency of one image;\n"
        "the accuracy differs by -5.00 points [-8.00, -2.00]: lower on these images\n"
        "(validation split, 1,000 images; latency in LiteRT)"
    )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"milliseconds_1": 3.0}, "slower, with 3.00 of the latency"),
        ({"split": {"difference_interval": (-0.08, 0.0)}}, "no difference shown"),
        ({"split": {"difference_interval": (0.01, 0.02)}}, "higher on these images"),
        ({"split": {"difference_interval": None}}, "by -5.00 points: no difference shown"),
        ({"split": {"images_from": "sample"}}, "(validation images that the run keeps, 1,000"),
    ],
)
def test_the_title_says_no_more_than_was_measured(run: Run, changes: dict, text: str):
    write_table(run, **changes)
    assert text in read_title(run)


def test_the_unit_of_the_size_suits_the_files(run: Run):
    write_table(run, bytes=2**10)
    assert draw(run, "compression").axes[2].get_xlabel() == "size of the file, MiB"


def test_a_run_that_was_not_compressed_has_no_such_figure(run: Run):
    with pytest.raises(DoesNotApplyError, match="was not compressed"):
        draw(run, "compression")


def test_a_table_of_another_model_is_not_drawn(run: Run):
    write_table(run)
    run.model_file.write_bytes(b"another model")
    with pytest.raises(NotDrawableError, match="was not compared with its original"):
        draw(run, "compression")
