"""``python tools/prepare_data/cc3m.py``: the same as ``bus-toolkit prepare cc3m``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("prepare", "cc3m")
