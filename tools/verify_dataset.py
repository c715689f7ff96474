"""``python tools/verify_dataset.py``: the same as ``bus-toolkit verify``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("verify")
