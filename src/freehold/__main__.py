"""`python -m freehold` is the `freehold` command."""

from freehold.cli.main import main

main(prog_name="freehold")
