"""Optimizers: each file holds `Settings` and `build(settings, learning_rate)`. Light zone.

`Settings` has a field `learning_rate`, the peak of the schedule. The argument `learning_rate` of
`build` is a number or a Keras schedule (from imgcls/schedules); `build` returns a Keras optimizer.
Keras is imported inside `build`.
"""
