"""``python tools/train.py``: the same as ``bus-toolkit train``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("train")
