"""`python -m local …` is `lakehouse …`."""

from local.cli import main

main()
