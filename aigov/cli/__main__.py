"""`python -m aigov.cli`: the same as the console script `aigov`."""

from aigov.cli import main

main()
