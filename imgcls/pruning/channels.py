"""Channels that can only be removed together, joined by union-find. Heavy zone."""

import numpy


class Channels:
    """The channels of all tensors of a network, in groups.

    Channels are numbers, in arrays int64 (channels,), one for each position on a tensor's last
    axis. Tensors that pass channels on, such as the inputs and outputs of an activation, have the
    same numbers; those of a sum are joined (Tarjan, 1975, "Efficiency of a good but not linear set
    union algorithm", with path halving).
    """

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._reasons: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._parents)

    def add(self, count: int) -> numpy.ndarray:
        """Return new channels, each a group of its own."""
        first = len(self._parents)
        self._parents += range(first, first + count)
        return numpy.arange(first, first + count)

    def join(self, left: numpy.ndarray, right: numpy.ndarray) -> None:
        """Let each channel be removed only with the one at the same position of the other array.

        Raises:
            ValueError: the arrays are not of the same length.
        """
        for one, other in zip(left.tolist(), right.tolist(), strict=True):
            first, second = sorted((self._find(one), self._find(other)))
            if first == second:
                continue
            self._parents[second] = first
            reason = self._reasons.pop(second, None)
            if reason:
                self._reasons.setdefault(first, reason)

    def keep(self, channels: numpy.ndarray, reason: str) -> None:
        """Let channels never be removed, for a reason; the first one is remembered."""
        for root in map(self._find, channels.tolist()):
            self._reasons.setdefault(root, reason)

    def find(self, channels: numpy.ndarray) -> numpy.ndarray:
        """Return the group of each channel, as the number of its first one."""
        return numpy.array([self._find(each) for each in channels.tolist()], numpy.int64)

    def get_reason(self, group: int) -> str | None:
        """Return why a group is kept; None if it may be removed."""
        return self._reasons.get(group)

    def _find(self, channel: int) -> int:
        parents = self._parents
        while parents[channel] != channel:
            parents[channel] = parents[parents[channel]]
            channel = parents[channel]
        return channel
