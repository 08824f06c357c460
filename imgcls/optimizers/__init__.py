"""Optimizers: each file holds `Settings` with a `learning_rate`, and `build(settings,
learning_rate) -> keras.optimizers.Optimizer`.

`learning_rate` is a number or a Keras schedule (from imgcls/schedules). Light zone: keras is
imported inside `build`.
"""
