"""Audit of the data: running the checks, and finding likely label errors. Light zone."""
