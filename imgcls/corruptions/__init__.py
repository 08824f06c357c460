"""Corruptions of images, under which `eval --corruptions` measures a model: each file holds
`Settings` and `corrupt(settings, image, severity, generator) -> image`. Light zone.

The fifteen kinds and their five severities are those of Hendrycks and Dietterich (2019); the code,
the textures and the strengths are this project's own, so that results are not comparable with
published ones on ImageNet-C.

`image` is float32 (height, width, channels) in 0..1, of any size and number of channels, and is not
changed. The result has the same shape and dtype; values outside 0..1 are clipped afterwards.
`severity` is from 1 to 5. `generator` is a fresh one for each image, the same for all severities:
draw the same numbers whatever the severity, so that severities differ in strength alone. Lengths
are given for images whose shorter side has 224 pixels, and scaled by `_pixels.get_scale`. Files
whose names begin with an underscore are shared code, not corruptions. numpy and cv2 are imported
inside functions.
"""

SEVERITIES = (1, 2, 3, 4, 5)
"""From the weakest to the strongest."""
