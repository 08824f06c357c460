"""Structured pruning: from the channels of a network to a narrower one. Light zone."""
