"""Train a model from a YAML: ``python tools/train.py CONFIG [flags]``."""

from __future__ import annotations

from bus_toolkit.cli.run import run_cli
from bus_toolkit.cli.train import COMMAND

main = COMMAND.main

if __name__ == "__main__":
    run_cli(main)
