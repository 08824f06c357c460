"""Losses: each file holds `Settings` and `compute(settings, targets, logits) -> losses`.

`targets` are labels, int32 (rows,), or float32 (rows, classes) where images are mixed; `logits` are
(rows, classes). The result is the loss of each row, (rows,), in the logits' dtype; the trainer
weighs and adds them up. Light zone: tensorflow is imported inside `compute`.
"""
