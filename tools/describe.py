"""Show what a run would use: ``python tools/describe.py {config CONFIG | parts | plugins | matrix}``."""

from __future__ import annotations

from bus_toolkit.cli.describe import COMMAND
from bus_toolkit.cli.run import run_cli

main = COMMAND.main

if __name__ == "__main__":
    run_cli(main)
