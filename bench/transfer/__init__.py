"""Accuracy with and without trained weights, for docs/transfer.md.

`python -m bench.transfer.fashion` and `python -m bench.transfer.emoji` train the runs, evaluate and
compare them by the command line of imgcls, and print the tables of that page.
"""
