"""Pruners: each file holds `Settings` and `build(settings, epochs)`. Light zone.

`build` returns an Optuna pruner, which decides after each epoch whether a trial is stopped early.
`epochs` is the number of epochs of the experiment, or None if a trial plans its own. Optuna is
imported inside functions.
"""
