"""Train a model from a YAML: ``python tools/train.py CONFIG [flags]``."""

from __future__ import annotations

from bus_toolkit.cli.command.train import COMMAND
from bus_toolkit.cli.run import run_cli

main = COMMAND.main

if __name__ == "__main__":
    run_cli(main)
