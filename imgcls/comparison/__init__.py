"""Comparing runs, and families of runs, on the same images. Light zone."""
