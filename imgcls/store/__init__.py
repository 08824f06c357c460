"""A data set as prepared on disk: writing it, finding it, reading its images. Light zone."""
