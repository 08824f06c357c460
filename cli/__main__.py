"""`python -m imgcls.cli` is the command `imgcls`. Light zone."""

from imgcls.cli.main import main

main()
