"""Losses: each file holds `Settings` and `compute(settings, targets, logits) -> losses`.

`targets` are labels, int64 (rows,), or probabilities, float32 (rows, classes), where an
augmentation mixes images; `logits` are (rows, classes). The result is the loss of each row,
(rows,), in the dtype of the logits; the trainer weights the rows and adds them up. The log's `loss`
and `val_loss` are its means, on the training and the validation split. Light zone: tensorflow is
imported inside `compute`.
"""
