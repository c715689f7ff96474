"""``python tools/prepare_data/openclipart.py``: the same as ``bus-toolkit prepare openclipart``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("prepare", "openclipart")
