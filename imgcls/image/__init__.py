"""Decoding, encoding, resizing, and statistics of images. Light zone."""
