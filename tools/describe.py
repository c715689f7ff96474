"""``python tools/describe.py``: the same as ``bus-toolkit describe``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("describe")
