"""From an image file's bytes to pixels, and what is measured of an image. Light zone."""
