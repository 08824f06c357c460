"""The packages: all folders below imgcls/, cli/ as imgcls.cli, and configs/ as imgcls.recipes.
Everything else stands in pyproject.toml.
"""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["imgcls*"]), "imgcls.cli", "imgcls.recipes"])
