"""From a trained model to predictions, and from predictions to confidence intervals and gates.
Light zone.
"""
