"""Prediction on new images: what `imgcls predict` and `imgcls.load` share. Light zone."""
