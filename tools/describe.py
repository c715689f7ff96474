"""Show what a run would use: ``python tools/describe.py {config CONFIG | parts | plugins | matrix}``."""

from __future__ import annotations

from bus_toolkit.cli import run_cli
from bus_toolkit.cli_commands.describe import COMMAND

main = COMMAND.main

if __name__ == "__main__":
    run_cli(main)
