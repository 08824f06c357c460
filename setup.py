"""The packages: all folders below imgcls/, and cli/ as imgcls.cli. Everything else stands in
pyproject.toml.
"""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["imgcls*"]), "imgcls.cli"])
