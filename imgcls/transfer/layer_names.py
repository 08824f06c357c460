"""Makes the numbers in Keras's automatic names of layers comparable. Light zone."""

import re
from collections import defaultdict
from collections.abc import Hashable, Mapping
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def renumber(names: Mapping[Key, str], kinds: Mapping[Key, str]) -> dict[Key, str]:
    """Return the names of layers, with Keras's automatic numbers counted from the lowest.

    Keras counts the layers of a class over all models of a process: in one model the first layers
    are `conv2d` and `conv2d_1`, and in another one `conv2d_94` and `conv2d_95`.

    Args:
        names: of the layers, by any key.
        kinds: what Keras calls the layers of each one's class, such as `conv2d`, by the same keys;
            a layer that has none keeps its name.
    """
    numbered: dict[str, list[tuple[int, Key]]] = defaultdict(list)
    for key, kind in kinds.items():
        automatic = re.fullmatch(rf"{kind}(?:_(\d+))?", names[key])
        if automatic:
            numbered[kind].append((int(automatic[1] or 0), key))
    renumbered = dict(names)
    for kind, layers in numbered.items():
        for rank, (_, key) in enumerate(sorted(layers, key=lambda layer: layer[0])):
            renumbered[key] = f"{kind}_{rank}" if rank else kind
    return renumbered
