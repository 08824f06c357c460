"""Learning-rate schedules: each file holds `Settings` and
`build(settings, learning_rate, steps, steps_per_epoch)`.

`learning_rate` is the peak, from the optimizer's settings; `steps` is the number of training steps.
The function returns a number or a `keras.optimizers.schedules.LearningRateSchedule`, a pure
function of the step, so that resuming needs no state of its own. Light zone: keras is imported
inside `build`.
"""
