"""``python tools/prepare_data/snli_ve.py``: the same as ``bus-toolkit prepare snli_ve``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("prepare", "snli_ve")
