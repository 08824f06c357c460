"""Predictions of a trained model, confidence intervals of its metrics, and gates. Light zone."""
