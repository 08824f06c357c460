"""Decoding, encoding, resizing and measuring images. Light zone."""
