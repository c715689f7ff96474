"""``python tools/convert_weights.py``: the same as ``bus-toolkit convert-weights``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("convert-weights")
