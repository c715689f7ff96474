"""Evaluate a checkpoint: ``python tools/test.py CONFIG CHECKPOINT [flags]``."""

from __future__ import annotations

from bus_toolkit.cli.command.test import COMMAND
from bus_toolkit.cli.run import run_cli

main = COMMAND.main

if __name__ == "__main__":
    run_cli(main)
