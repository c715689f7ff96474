"""``python tools/prepare_data/gqa.py``: the same as ``bus-toolkit prepare gqa``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("prepare", "gqa")
