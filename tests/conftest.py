"""Fixtures that many tests share."""

import os

# Every training process of the tests would else take both cores; four of them at once are slower than one after the other.
os.environ.setdefault("MPLBACKEND", "agg")
