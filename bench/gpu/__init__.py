"""What can be checked on a GPU only: `make gpu` runs the checks and prints a table for docs/gpu.md.

Each file without an underscore is a check, found by its name. It has a docstring and one function,
`measure(target, folder)`, which yields rows of the table; `folder` is empty, and its own. A check
runs in a process of its own (`_process.py`). An exception is a row, too: FAILED, with its reason.

The tests run every check with devices of the CPU in place of GPUs.
"""
