"""``python tools/run_study.py``: the same as ``bus-toolkit study``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("study")
