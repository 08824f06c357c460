"""Rehearsals: short trainings that leave no run, and show whether an experiment can work. Light
zone.
"""
