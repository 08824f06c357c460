"""Benchmarks that report ratios of median times, measured in alternation within one run."""
