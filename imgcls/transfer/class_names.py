"""Matching the classes of two data sets by their names. Light zone."""

from collections import Counter
from collections.abc import Sequence


def match_classes(wanted: Sequence[str], known: Sequence[str]) -> list[int | None]:
    """Return for each wanted class the index of the known class of the same name, or None.

    Names that are equal match first. Then, those that are equal but for case, spaces, hyphens and
    underscores, unless several of the remaining ones become the same.
    """
    indices = {name: index for index, name in enumerate(known)}
    matches = [indices.get(name) for name in wanted]
    rest = [index for index in range(len(known)) if index not in matches]
    open_names = [_fold(name) for name, match in zip(wanted, matches, strict=True) if match is None]
    wanted_counts, known_counts = Counter(open_names), Counter(_fold(known[i]) for i in rest)
    folded = {_fold(known[index]): index for index in rest}
    for number, name in enumerate(map(_fold, wanted)):
        if matches[number] is None and wanted_counts[name] == known_counts[name] == 1:
            matches[number] = folded[name]
    return matches


def _fold(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter not in " _-")
