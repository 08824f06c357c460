"""Smaller and faster models of finished runs, beside the originals. Light zone."""
