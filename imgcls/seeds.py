"""Sub-seeds, so that adding an augmentation, say, does not change the split. Light zone."""

import hashlib

NAMES = (
    *("split", "init", "order", "augment", "dropout", "bootstrap"),
    *("sample", "prune", "quantize", "corruptions", "explain"),
)
PHILOX_BLOCK = 4
"""How many 32-bit numbers Philox makes at once (Salmon et al., 2011)."""


def derive_seed(seed: int, name: str) -> int:
    """Derive a sub-seed by name: 31 bits, so that every library accepts it.

    Raises:
        ValueError: the name is not one of `NAMES`.
    """
    if name not in NAMES:
        raise ValueError(f"no sub-seed is named {name!r}; the names are {', '.join(NAMES)}")
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
