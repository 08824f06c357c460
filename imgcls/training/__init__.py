"""Training of one run: compiled steps, checkpoints, log, saved model. Light zone."""
