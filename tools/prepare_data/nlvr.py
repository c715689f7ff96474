"""``python tools/prepare_data/nlvr.py``: the same as ``bus-toolkit prepare nlvr``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("prepare", "nlvr")
