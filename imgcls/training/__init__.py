"""Training one run: steps, checkpoints, log, model. Light zone."""
