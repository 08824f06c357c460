"""imgcls: train, judge, explain and ship image classifiers from one YAML file. Light zone."""

__version__ = "0.1.0"
