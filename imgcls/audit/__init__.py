"""Auditing data: running the checks, and labels that models contradict. Light zone."""
