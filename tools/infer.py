"""``python tools/infer.py``: the same as ``bus-toolkit infer``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("infer")
