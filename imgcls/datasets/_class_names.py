"""Names of classes in folders and lists: which are text, and which spellings mean one class.

Light zone.
"""

import unicodedata
from collections.abc import Iterable

from imgcls.io import terminal

_JOINERS = "\u200b\u200c\u200d\u2060"
"""Marks without width that belong to the spelling of words in Persian, Hindi, Khmer or Thai."""
_FLAG_TAGS = range(0xE0020, 0xE0080)
"""Marks that spell flags, such as that of Scotland."""


def is_text(name: str) -> bool:
    """Tell whether a name is not blank, and without control characters and bytes that are not
    UTF-8.
    """
    return bool(name.strip()) and all(
        unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
        or letter in _JOINERS
        or ord(letter) in _FLAG_TAGS
        for letter in name
    )


def normalize(name: str) -> str:
    """Return the name of the class that a spelling means: composed, and without edge spaces.

    macOS decomposes letters in file names, Linux keeps them as they were typed.
    """
    return unicodedata.normalize("NFC", name).strip()


def note_spellings(names: Iterable[str]) -> None:
    """Note which different names are spellings of one class."""
    spellings: dict[str, set[str]] = {}
    for name in names:
        spellings.setdefault(normalize(name), set()).add(name)
    for name, same in sorted(spellings.items()):
        if len(same) > 1:
            terminal.note(
                f"class '{terminal.to_printable(name)}' is written in {len(same)} ways, which"
                " differ in Unicode form or in spaces at the ends, and are one class:"
                f" {terminal.format_some(sorted(map(ascii, same)))}"
            )
