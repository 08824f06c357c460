"""imgcls: train and evaluate image classifiers from one YAML file. Light zone."""

__version__ = "0.2.0.dev0"
