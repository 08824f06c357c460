"""Style of all figures: fonts, sizes, colors safe for color-blind readers; PNG and SVG files. Light
zone.

Figures use `matplotlib.figure.Figure` directly: pyplot takes longer to import, and has global
state.
"""

import contextlib
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from imgcls.io import files, terminal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Ten colors that people with color vision deficiency can tell apart: Petroff, 2021,
# https://arxiv.org/abs/2107.02270.
COLORS = (
    "#3f90da",
    "#e76300",
    "#832db6",
    "#717581",
    "#bd1f01",
    "#92dadd",
    "#a96b59",
    "#ffa90e",
    "#94a4a2",
    "#b9ac70",
)
# Lines differ in style as well as in color, for printing in grayscale.
LINE_STYLES = ("-", "--", "-.", ":")
INK, FAINT, PAPER = "#222222", "#8a8a8a", "#e9e9e9"
SPLIT_COLORS = {"train": COLORS[0], "validation": COLORS[1], "test": COLORS[2]}

WIDTH = 8.0
"""Default width of figures, in inches; equal widths give text of equal size on the report page."""
DOTS_PER_INCH = 120
# Tried in this order for characters that DejaVu Sans, which comes with matplotlib, lacks, such as
# Chinese, Japanese, Korean and Indic scripts.
FALLBACK_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Arial Unicode MS",
)


@contextlib.contextmanager
def apply_style() -> Iterator[None]:
    """Apply the style within the block, regardless of the user's matplotlibrc."""
    import matplotlib
    from matplotlib.rcsetup import cycler

    with matplotlib.rc_context(), warnings.catch_warnings():
        # `find_missing_glyphs` lets the caller print one helpful note instead.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "font.family": _list_fonts(),
                "font.size": 9,
                "axes.titlesize": 10,
                "axes.titleweight": "bold",
                "axes.titlelocation": "left",
                "axes.labelsize": 9,
                "axes.edgecolor": FAINT,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.axisbelow": True,
                "axes.prop_cycle": cycler(color=COLORS),
                "grid.color": PAPER,
                "xtick.labelsize": 8,
                "ytick.labelsize": 8,
                "xtick.color": INK,
                "ytick.color": INK,
                "text.color": INK,
                "legend.fontsize": 8,
                "legend.frameon": False,
                "lines.linewidth": 1.5,
                # A class name such as `$x_1$` is not a formula.
                "text.parse_math": False,
                # So that the same figure gives the same bytes.
                "svg.hashsalt": "imgcls",
            }
        )
        yield


def _list_fonts() -> list[str]:
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    return ["DejaVu Sans", *[name for name in FALLBACK_FONTS if name in installed]]


def find_missing_glyphs(texts: Iterable[str]) -> str:
    """Return the characters that no installed font has, which figures show as empty boxes."""
    from matplotlib import font_manager

    fonts = [font_manager.get_font(font_manager.findfont(name)) for name in _list_fonts()]
    characters = sorted({character for text in texts for character in shorten(text, length=10**6)})
    return "".join(
        character
        for character in characters
        if not any(font.get_char_index(ord(character)) for font in fonts)
    )


def note_missing_glyphs(names: Iterable[str]) -> None:
    """Print a note if no font has some characters of class names."""
    if missing := find_missing_glyphs(names):
        terminal.note(
            f"no installed font has the characters {terminal.format_some(missing, 20)} of the class"
            " names; install one, such as Noto Sans CJK, and run the command again"
        )


def make_figure(width: float, height: float) -> "Figure":
    """Return an empty figure with constrained layout; width and height in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def compute_rows_height(rows: int) -> float:
    """Return the height of labeled rows, in inches: enough for 8-point labels."""
    return rows * min(0.45, max(0.17, 3.0 / rows))


def replace_surrogates(text: str) -> str:
    """Replace lone surrogates, which come from file names that are not UTF-8, by question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def shorten(name: str, length: int = 30) -> str:
    """Shorten a class name to one line of at most `length` characters.

    The middle is left out, because similar names often differ at their ends.
    """
    line = " ".join(
        "".join(
            " " if unicodedata.category(character) == "Cc" else character
            for character in replace_surrogates(name)
        ).split()
    )
    if len(line) <= length:
        return line
    head = (length - 1) * 2 // 3
    return line[:head] + "…" + line[head + 1 - length :]


def label_rows(axes: "Axes", names: list[str]) -> None:
    """Label the rows of a plot with class names, from the top down."""
    axes.set_yticks(range(len(names)), [shorten(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)


_METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "svg": {"Creator": None, "Date": None},
}
"""What is left out of files: by default, they have the version of matplotlib, and the date."""


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure atomically to a PNG or SVG file; the same figure gives the same bytes.

    Raises:
        UserError: the file cannot be written.
    """
    kind = path.suffix.removeprefix(".")
    with files.replace_file(path) as stream:
        figure.savefig(
            stream,
            format=kind,
            dpi=DOTS_PER_INCH,
            bbox_inches="tight",
            metadata=_METADATA[kind],
        )
