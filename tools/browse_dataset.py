"""``python tools/browse_dataset.py``: the same as ``bus-toolkit browse``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("browse")
