"""``python tools/prepare_data/sbu.py``: the same as ``bus-toolkit prepare sbu``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("prepare", "sbu")
