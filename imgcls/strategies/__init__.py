"""Device strategies: each file holds `Settings` and `build(settings) -> tf.distribute.Strategy`.

`build` is called once a process, before anything is placed on a device. Light zone: tensorflow is imported inside `build`.
"""
