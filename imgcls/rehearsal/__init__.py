"""Rehearsals: trainings of moments that leave no run, to see whether a training can work. Light
zone.
"""
