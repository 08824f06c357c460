"""`python -m imgcls.cli` is the command `imgcls`."""

from imgcls.cli.main import main

main()
