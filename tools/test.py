"""``python tools/test.py``: the same as ``bus-toolkit test``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("test")
