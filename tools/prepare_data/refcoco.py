"""``python tools/prepare_data/refcoco.py``: the same as ``bus-toolkit prepare refcoco``."""

from bus_toolkit.cli.main import run_as

if __name__ == "__main__":
    run_as("prepare", "refcoco")
