"""Evaluate a checkpoint: ``python tools/test.py CONFIG CHECKPOINT [flags]``."""

from __future__ import annotations

from bus_toolkit.cli.run import run_cli
from bus_toolkit.cli.test import COMMAND

main = COMMAND.main

if __name__ == "__main__":
    run_cli(main)
