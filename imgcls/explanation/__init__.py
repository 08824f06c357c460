"""Explanations of a run's predictions: the network with gradients, scores that say whether to
believe a map, and the importance of channels, frequencies, color and regions. Light zone.
"""
